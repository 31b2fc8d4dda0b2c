/**
 * An EndpointSlice as the API delivers it → the endpoints and ports it lists, before they are merged with the other
 * slices of the Service. A part that cannot be used is refused and left out; the rest of the slice holds.
 */
import { type Family, familyOf, type Ip, parseIp } from '../net/ip.ts'
import type { Port, Protocol } from '../net/protocol.ts'
import { readProtocol } from './decode-service.ts'
import type { Endpoint } from './endpoint.ts'
import { asList, asObject, asText, isAbsent, type JsonObject } from './json-object.ts'
import { identify, isName, isRejected, readPort, Refusals } from './refusals.ts'
import type { Rejected } from './rejected.ts'
import type { ServiceKey } from './service-port.ts'

export interface SlicePort {
  readonly name: string
  readonly protocol: Protocol
  readonly port: Port
}

export type SliceEndpoint = Omit<Endpoint, 'port'>

export interface DecodedSlice {
  /** `namespace/name` of the slice itself. */
  readonly slice: string
  /** `undefined`: the slice belongs to no Service that we serve. */
  readonly service: ServiceKey | undefined
  readonly family: Family
  readonly ports: readonly SlicePort[]
  readonly endpoints: readonly SliceEndpoint[]
  readonly rejected: readonly Rejected[]
}

const SERVICE_LABEL = 'kubernetes.io/service-name'
const HEADLESS_LABEL = 'service.kubernetes.io/headless'
const WEIGHT_ANNOTATION = 'fairlead.io/weight'
const USUAL_WEIGHT = 100
const LARGEST_WEIGHT = 1000
const NO_HINTS: readonly string[] = []

/**
 * `Rejected` alone when the object has no usable name. `intern` returns one string for all equal ones: names of nodes
 * and zones are repeated in every endpoint.
 */
export function decodeEndpointSlice(
  value: unknown,
  intern: (text: string) => string,
): DecodedSlice | Rejected {
  const identity = identify('EndpointSlice', value)
  if (isRejected(identity)) return identity
  const refusals = new Refusals(identity)
  const object = asObject(value)
  const slice = `${identity.namespace}/${identity.name}`
  const nothing = { slice, service: undefined, ports: [], endpoints: [] }
  const labels = asObject(identity.metadata['labels'])
  if (Object.hasOwn(labels, HEADLESS_LABEL)) return { ...nothing, family: 'IPv4', rejected: [] }
  const serviceName = labels[SERVICE_LABEL]
  const family = object['addressType']
  if (!isName(serviceName)) {
    refusals.refuse(
      `metadata.labels[${SERVICE_LABEL}]`,
      serviceName,
      'names no Service; the slice is left out',
    )
    return { ...nothing, family: 'IPv4', rejected: refusals.list() }
  }
  if (family !== 'IPv4' && family !== 'IPv6') {
    refusals.refuse('addressType', family, 'is not IPv4 or IPv6; the slice is left out')
    return { ...nothing, family: 'IPv4', rejected: refusals.list() }
  }
  const weight = readWeight(identity.metadata, refusals)
  const endpoints: SliceEndpoint[] = []
  for (const [i, endpoint] of asList(object['endpoints']).entries()) {
    const read = readEndpoint(asObject(endpoint), `endpoints[${i}]`, { refusals, intern, weight, family })
    if (read !== undefined) endpoints.push(read)
  }
  const ports = readPorts(asList(object['ports']), refusals)
  const service = `${identity.namespace}/${serviceName}` as ServiceKey
  return { slice, service, family, ports, endpoints, rejected: refusals.list() }
}

interface EndpointContext {
  readonly refusals: Refusals
  readonly intern: (text: string) => string
  readonly weight: number
  readonly family: Family
}

function readEndpoint(value: JsonObject, field: string, context: EndpointContext): SliceEndpoint | undefined {
  // The addresses of one endpoint are interchangeable by definition; like kube-proxy we use the first.
  const [address] = asList(value['addresses'])
  if (isAbsent(address)) return undefined
  const ip: Ip | undefined = parseIp(asText(address) ?? '')
  if (ip === undefined || familyOf(ip) !== context.family) {
    context.refusals.refuse(
      `${field}.addresses[0]`,
      address,
      `is not an ${context.family} address; the endpoint is left out`,
    )
    return undefined
  }
  const conditions = asObject(value['conditions'])
  const nodeName = asText(value['nodeName'])
  const hints = asObject(value['hints'])
  return {
    ip,
    nodeName: nodeName === undefined || nodeName === '' ? undefined : context.intern(nodeName),
    ready: readCondition(conditions['ready'], true),
    serving: readCondition(conditions['serving'], true),
    terminating: readCondition(conditions['terminating'], false),
    zoneHints: readHints(hints['forZones'], context.intern),
    nodeHints: readHints(hints['forNodes'], context.intern),
    weight: context.weight,
  }
}

/** An unknown condition is read as the API says for each of them; `serving` does not follow `ready`. */
function readCondition(value: unknown, whenUnknown: boolean): boolean {
  return typeof value === 'boolean' ? value : whenUnknown
}

function readHints(value: unknown, intern: (text: string) => string): readonly string[] {
  const list = asList(value)
  if (list.length === 0) return NO_HINTS
  const names = new Set<string>()
  for (const hint of list) {
    const name = asText(asObject(hint)['name'])
    if (name !== undefined && name !== '') names.add(intern(name))
  }
  return [...names].sort()
}

function readPorts(values: readonly unknown[], refusals: Refusals): SlicePort[] {
  const ports: SlicePort[] = []
  for (const [i, value] of values.entries()) {
    const port = readSlicePort(asObject(value), `ports[${i}]`, refusals)
    if (port !== undefined) ports.push(port)
  }
  return ports
}

/** A port without a name or a number means "every port" in the API, which no Service port can match. */
function readSlicePort(value: JsonObject, field: string, refusals: Refusals): SlicePort | undefined {
  const leftOut = 'the port is left out'
  const name = value['name']
  const protocol = readProtocol(value['protocol'])
  if (name !== '' && !isName(name)) {
    refusals.refuse(`${field}.name`, name, `is not a name; ${leftOut}`)
    return undefined
  }
  if (protocol === undefined) {
    refusals.refuse(`${field}.protocol`, value['protocol'], `is not TCP, UDP or SCTP; ${leftOut}`)
    return undefined
  }
  const port = readPort(value['port'], `${field}.port`, { refusals, consequence: leftOut })
  if (port !== undefined) return { name, protocol, port }
  if (isAbsent(value['port']) || value['port'] === 0)
    refusals.refuse(`${field}.port`, value['port'], `is not a port number; ${leftOut}`)
  return undefined
}

function readWeight(metadata: JsonObject, refusals: Refusals): number {
  const value = asObject(metadata['annotations'])[WEIGHT_ANNOTATION]
  if (isAbsent(value)) return USUAL_WEIGHT
  const weight = typeof value === 'string' && /^\d{1,4}$/.test(value) ? Number(value) : 0
  if (weight >= 1 && weight <= LARGEST_WEIGHT) return weight
  const field = `metadata.annotations[${WEIGHT_ANNOTATION}]`
  refusals.refuse(field, value, `is not a number from 1 to ${LARGEST_WEIGHT}; ${USUAL_WEIGHT} holds`)
  return USUAL_WEIGHT
}
