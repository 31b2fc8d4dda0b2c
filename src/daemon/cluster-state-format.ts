/**
 * The cluster as a file: one JSON document a line. The first says what it is and whose, then comes one service port
 * with its endpoints per line, and the last has a digest of all before it, so that a file that was cut off or changed
 * is never taken for the truth. Raw API objects are not kept: what was refused once needs no second look.
 *
 * Reading checks every field, because what is read goes into the kernel. The tables of fields are complete by type: a
 * field that the model gets later does not compile until it has a check here, and a new VERSION with it.
 */
import { createHash, type Hash } from 'node:crypto'
import { ShardedMap } from '../collections/sharded-map.ts'
import type { ClusterSnapshot, FamilySnapshot } from '../model/cluster-snapshot.ts'
import type { Endpoint } from '../model/endpoint.ts'
import type { NodeView } from '../model/node-view.ts'
import type { EndpointRemoval, ServicePort, ServicePortKey, ServiceWishes } from '../model/service-port.ts'
import { type Cidr, parseCidr } from '../net/cidr.ts'
import { FAMILIES, type Family, parseIp } from '../net/ip.ts'
import { PROTOCOLS } from '../net/protocol.ts'

const FORMAT = 'fairlead-cluster-state'
const VERSION = 1

/** What stays true of a node while it is switched off; its addresses are read anew. */
export type RememberedNode = Omit<NodeView, 'localIps'>

export interface ClusterState {
  /** Milliseconds since the epoch. */
  readonly savedMs: number
  readonly node: RememberedNode
  readonly families: ClusterSnapshot['families']
}

/** The file cannot be used; the message says why. */
export class UnusableState extends Error {
  override readonly name = 'UnusableState'
}

/** Lines with their ends. */
export function* encodeState(snapshot: ClusterSnapshot, savedMs: number): Generator<string> {
  const digest = createHash('sha256')
  const line = (value: object): string => {
    const text = `${JSON.stringify(value)}\n`
    digest.update(text)
    return text
  }
  const { families, node } = snapshot
  const { name, zone, primaryIps, podCidrs, eligible } = node
  const remembered: RememberedNode = { name, zone, primaryIps, podCidrs, eligible }
  const serviceCidrs = { IPv4: families.IPv4.serviceCidrs, IPv6: families.IPv6.serviceCidrs }
  yield line({ format: FORMAT, version: VERSION, savedMs, node: remembered, serviceCidrs })
  for (const family of FAMILIES)
    for (const [key, servicePort] of families[family].servicePorts)
      yield line({ servicePort, endpoints: families[family].endpoints.get(key) ?? [] })
  yield `${JSON.stringify({ sha256: digest.digest('hex') })}\n`
}

/** Takes a file line by line, so that a large one need not be read in one go. Methods throw UnusableState. */
export class StateDecoder {
  readonly #digest: Hash = createHash('sha256')
  readonly #ports: Record<Family, [ServicePortKey, ServicePort][]> = { IPv4: [], IPv6: [] }
  readonly #endpoints: Record<Family, [ServicePortKey, readonly Endpoint[]][]> = { IPv4: [], IPv6: [] }
  #head: Head | undefined
  #complete = false

  /** `line` without its end. */
  push(line: string): void {
    if (this.#complete) throw new UnusableState('it goes on after its end')
    const value = parseLine(line)
    if (typeof value['sha256'] === 'string') {
      if (value['sha256'] !== this.#digest.digest('hex')) throw new UnusableState('its digest is wrong')
      this.#complete = true
      return
    }
    this.#digest.update(`${line}\n`)
    if (this.#head === undefined) this.#head = decodeHead(value)
    else this.#take(value)
  }

  end(): ClusterState {
    if (this.#head === undefined || !this.#complete) throw new UnusableState('it is cut off')
    const { savedMs, node, serviceCidrs } = this.#head
    const family = (name: Family): FamilySnapshot => ({
      servicePorts: ShardedMap.of(this.#ports[name]),
      endpoints: ShardedMap.of(this.#endpoints[name]),
      serviceCidrs: serviceCidrs[name],
    })
    return { savedMs, node, families: { IPv4: family('IPv4'), IPv6: family('IPv6') } }
  }

  #take(value: Json): void {
    const port = record<ServicePort>(SERVICE_PORT, value['servicePort'])
    const list = value['endpoints']
    if (!Array.isArray(list)) throw new UnusableState('endpoints are missing')
    const endpoints = list.map((one) => record<Endpoint>(ENDPOINT, one))
    const wishes = record<ServiceWishes>(WISHES, port.wishes)
    this.#ports[port.family].push([port.key, { ...port, wishes }])
    if (endpoints.length > 0) this.#endpoints[port.family].push([port.key, endpoints])
  }
}

type Json = Readonly<Record<string, unknown>>
type Check = (value: unknown) => boolean
type Checks<T> = { readonly [K in keyof T]-?: Check }

interface Head {
  readonly savedMs: number
  readonly node: RememberedNode
  readonly serviceCidrs: Readonly<Record<Family, readonly Cidr[]>>
}

const isBoolean: Check = (value) => typeof value === 'boolean'
const isText: Check = (value) => typeof value === 'string' && !/[\u0000-\u001f\u007f"\\]/.test(value)
const isIp: Check = (value) => typeof value === 'string' && parseIp(value) === value
const isCidr: Check = (value) => typeof value === 'string' && parseCidr(value) === value
const isObject: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value)
const isName: Check = (value) => typeof value === 'string' && /^[\w.-]+\/[\w.-]+$/.test(value)
const isKey: Check = (value) => typeof value === 'string' && /^[\w.-]+\/[\w.-]+:[\w.-]*\/[A-Z]+$/.test(value)

function whole(least: number, most = Number.MAX_SAFE_INTEGER): Check {
  return (value) => Number.isInteger(value) && Number(value) >= least && Number(value) <= most
}

const isPort = whole(1, 65_535)

function oneOf(...values: readonly unknown[]): Check {
  return (value) => values.includes(value)
}

function optional(check: Check): Check {
  return (value) => value === undefined || check(value)
}

function listOf(check: Check): Check {
  return (value) => Array.isArray(value) && value.every(check)
}

function valuesOf(check: Check): Check {
  return (value) => isObject(value) && Object.values(value as Json).every(check)
}

const ENDPOINT: Checks<Endpoint> = {
  ip: isIp,
  port: isPort,
  nodeName: optional(isText),
  ready: isBoolean,
  serving: isBoolean,
  terminating: isBoolean,
  zoneHints: listOf(isText),
  nodeHints: listOf(isText),
  weight: whole(1),
}

const SERVICE_PORT: Checks<ServicePort> = {
  key: isKey,
  service: isName,
  uid: isText,
  createdMs: (value) => typeof value === 'number',
  family: oneOf(...FAMILIES),
  protocol: oneOf(...PROTOCOLS),
  clusterIp: isIp,
  port: isPort,
  nodePort: optional(isPort),
  externalIps: listOf(isIp),
  loadBalancerIps: listOf(isIp),
  sourceRanges: optional(listOf(isCidr)),
  internalTrafficPolicy: oneOf('Cluster', 'Local'),
  externalTrafficPolicy: oneOf('Cluster', 'Local'),
  healthCheckNodePort: optional(isPort),
  affinitySeconds: optional(whole(1)),
  wishes: isObject,
}

const REMOVALS: readonly EndpointRemoval['action'][] = ['default', 'drain', 'reset']

const WISHES: Checks<ServiceWishes> = {
  ipvsScheduler: optional(isText),
  algorithm: oneOf(undefined, 'random', 'source-hash', 'least-connection'),
  slowStartSeconds: optional(whole(0)),
  onEndpointRemoval: (value) =>
    isObject(value) &&
    oneOf(...REMOVALS)((value as Json)['action']) &&
    optional(whole(0))((value as Json)['seconds']),
  sourceRangesOnNodePort: isBoolean,
  portRange: optional(
    (value) => isObject(value) && isPort((value as Json)['first']) && isPort((value as Json)['last']),
  ),
  weights: valuesOf(whole(0)),
}

const NODE: Checks<RememberedNode> = {
  name: isText,
  zone: isText,
  primaryIps: valuesOf(isIp),
  podCidrs: listOf(isCidr),
  eligible: isBoolean,
}

function decodeHead(value: Json): Head {
  if (value['format'] !== FORMAT) throw new UnusableState('it is no cluster state')
  if (value['version'] !== VERSION)
    throw new UnusableState(`it is of version ${String(value['version'])}, and this is version ${VERSION}`)
  const head = record({ savedMs: whole(0), serviceCidrs: isObject, node: isObject }, value)
  const cidrs = { IPv4: listOf(isCidr), IPv6: listOf(isCidr) }
  return {
    savedMs: Number(head.savedMs),
    node: record<RememberedNode>(NODE, head.node),
    serviceCidrs: record<Head['serviceCidrs']>(cidrs, head.serviceCidrs),
  }
}

function parseLine(line: string): Json {
  try {
    const value = JSON.parse(line) as unknown
    if (isObject(value)) return value as Json
  } catch {
    // Told below, in the same words.
  }
  throw new UnusableState('a line of it is not JSON')
}

/** Exactly the fields of the table; absent ones are `undefined`, as in the model. */
function record<T>(checks: Checks<T>, value: unknown): T {
  const fields = Object.entries<Check>(checks)
  const from = isObject(value) ? (value as Json) : {}
  for (const [field, check] of fields)
    if (!check(from[field])) throw new UnusableState(`field "${field}" is not as it should be`)
  // Every field of T has passed its check.
  return Object.fromEntries<unknown>(fields.map(([field]) => [field, from[field]])) as T
}
