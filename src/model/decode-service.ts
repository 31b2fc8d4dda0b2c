/**
 * A Service as the API delivers it → the service ports that this proxy serves, in both families.
 *
 * Nothing is thrown: a field that cannot be used is refused, said so, and treated as absent; the rest of the Service
 * holds (kube-proxy-compatible rules, docs/forwarding.md §1). A Service that is simply not for us (headless,
 * ExternalName, of another proxy) has no ports and no refusals.
 */
import { type Cidr, cidrFamily, parseCidr, prefixLength } from '../net/cidr.ts'
import { FAMILIES, type Family, familyOf, type Ip, parseIp } from '../net/ip.ts'
import type { Port, Protocol } from '../net/protocol.ts'
import { type AnnotationWishes, decodeWishes, NO_WISHES } from './decode-wishes.ts'
import { asList, asObject, asText, isAbsent, type JsonObject } from './json-object.ts'
import { identify, isName, isRejected, readPort, Refusals } from './refusals.ts'
import type { Rejected } from './rejected.ts'
import type { ServiceKey, ServicePort, ServicePortKey, ServiceWishes, TrafficPolicy } from './service-port.ts'

export interface DecodedService {
  readonly service: ServiceKey
  /** Of both families; empty when the Service is not ours to serve. */
  readonly ports: readonly ServicePort[]
  readonly rejected: readonly Rejected[]
}

const PROXY_NAME_LABEL = 'service.kubernetes.io/service-proxy-name'
/** What the API server writes when the Service does not say. */
const DEFAULT_AFFINITY_SECONDS = 10_800
const LONGEST_AFFINITY_SECONDS = 86_400

/** `Rejected` alone when the object has no usable name. */
export function decodeService(value: unknown): DecodedService | Rejected {
  const identity = identify('Service', value)
  if (isRejected(identity)) return identity
  const service = `${identity.namespace}/${identity.name}` as ServiceKey
  const refusals = new Refusals(identity)
  const spec = asObject(asObject(value)['spec'])
  const labels = asObject(identity.metadata['labels'])
  if (Object.hasOwn(labels, PROXY_NAME_LABEL) || isNeverServed(spec))
    return { service, ports: [], rejected: [] }
  const annotations = decodeWishes(identity.metadata, refusals)
  const addresses = readAddresses(spec, asObject(asObject(value)['status']), { refusals, annotations })
  const owner: Owner = {
    service,
    uid: asText(identity.metadata['uid']) ?? '',
    createdMs: readCreation(identity.metadata['creationTimestamp']),
    ...readPolicies(spec, { refusals, hasExternalIps: asList(spec['externalIPs']).length > 0 }),
  }
  const specs = readPorts(spec, refusals)
  const ranges = assignRanges(specs, annotations, refusals)
  const wishes = new Map<PortSpec, ServiceWishes>(
    specs.map((port) => [port, wishesOf(annotations, ranges.get(port))]),
  )
  const ports = FAMILIES.flatMap((family) => {
    const { clusterIp, ...rest } = addresses[family]
    if (clusterIp === undefined) return []
    return specs.map((port) =>
      toServicePort({ owner, port, family }, { clusterIp, ...rest, wishes: wishes.get(port) ?? NO_WISHES }),
    )
  })
  return { service, ports, rejected: refusals.list() }
}

type Owner = Pick<ServicePort, 'service' | 'uid' | 'createdMs'> & Policies
type Policies = Pick<
  ServicePort,
  'internalTrafficPolicy' | 'externalTrafficPolicy' | 'healthCheckNodePort' | 'affinitySeconds'
>
type FamilyAddresses = Pick<ServicePort, 'externalIps' | 'loadBalancerIps' | 'sourceRanges'> & {
  readonly clusterIp: Ip | undefined
}

interface PortSpec {
  readonly name: string
  readonly protocol: Protocol
  readonly port: Port
  readonly nodePort: Port | undefined
}

function isNeverServed(spec: JsonObject): boolean {
  const clusterIp = spec['clusterIP']
  return isAbsent(clusterIp) || clusterIp === '' || clusterIp === 'None' || spec['type'] === 'ExternalName'
}

function toServicePort(
  of: { readonly owner: Owner; readonly port: PortSpec; readonly family: Family },
  rest: FamilyAddresses & { readonly clusterIp: Ip; readonly wishes: ServiceWishes },
): ServicePort {
  const { owner, port, family } = of
  return {
    key: servicePortKey(owner.service, port.name, port.protocol),
    service: owner.service,
    uid: owner.uid,
    createdMs: owner.createdMs,
    family,
    protocol: port.protocol,
    clusterIp: rest.clusterIp,
    port: port.port,
    nodePort: port.nodePort,
    externalIps: rest.externalIps,
    loadBalancerIps: rest.loadBalancerIps,
    sourceRanges: rest.sourceRanges,
    internalTrafficPolicy: owner.internalTrafficPolicy,
    externalTrafficPolicy: owner.externalTrafficPolicy,
    healthCheckNodePort: owner.healthCheckNodePort,
    affinitySeconds: owner.affinitySeconds,
    wishes: rest.wishes,
  }
}

export function servicePortKey(service: ServiceKey, portName: string, protocol: Protocol): ServicePortKey {
  return `${service}:${portName}/${protocol}` as ServicePortKey
}

/** An object without a creation time counts as the newest: it must not take an address from a real one. */
function readCreation(value: unknown): number {
  const text = asText(value)
  const ms = text === undefined || text.length > 40 ? Number.NaN : Date.parse(text)
  return Number.isNaN(ms) ? Number.MAX_SAFE_INTEGER : ms
}

function readPorts(spec: JsonObject, refusals: Refusals): PortSpec[] {
  const ports = new Map<string, PortSpec>()
  for (const [i, value] of asList(spec['ports']).entries()) {
    const port = readPortSpec(asObject(value), `spec.ports[${i}]`, refusals)
    if (port === undefined) continue
    const key = `${port.name}/${port.protocol}`
    if (ports.has(key))
      refusals.refuse(`spec.ports[${i}].name`, port.name, 'is taken by an earlier port; the port is left out')
    else ports.set(key, port)
  }
  return [...ports.values()]
}

function readPortSpec(value: JsonObject, field: string, refusals: Refusals): PortSpec | undefined {
  const name = isAbsent(value['name']) ? '' : value['name']
  const protocol = readProtocol(value['protocol'])
  const leftOut = 'the port is left out'
  if (name !== '' && !isName(name)) {
    refusals.refuse(`${field}.name`, name, `is not a name; ${leftOut}`)
    return undefined
  }
  if (protocol === undefined) {
    refusals.refuse(`${field}.protocol`, value['protocol'], `is not TCP, UDP or SCTP; ${leftOut}`)
    return undefined
  }
  const port = readPort(value['port'], `${field}.port`, { refusals, consequence: leftOut })
  if (port === undefined) {
    if (isAbsent(value['port']) || value['port'] === 0)
      refusals.refuse(`${field}.port`, value['port'], `is not a port number; ${leftOut}`)
    return undefined
  }
  const consequence = 'the port has no NodePort'
  return {
    name,
    protocol,
    port,
    nodePort: readPort(value['nodePort'], `${field}.nodePort`, { refusals, consequence }),
  }
}

/** Absent means TCP, as the API server defaults it. */
export function readProtocol(value: unknown): Protocol | undefined {
  if (isAbsent(value) || value === '') return 'TCP'
  return value === 'TCP' || value === 'UDP' || value === 'SCTP' ? value : undefined
}

function readPolicies(
  spec: JsonObject,
  context: { readonly refusals: Refusals; readonly hasExternalIps: boolean },
): Policies {
  const { refusals, hasExternalIps } = context
  const type = spec['type']
  const canBeLocal =
    type === 'LoadBalancer' ||
    type === 'NodePort' ||
    ((isAbsent(type) || type === 'ClusterIP') && hasExternalIps)
  const wanted = readPolicy(spec['externalTrafficPolicy'], 'spec.externalTrafficPolicy', refusals)
  const externalTrafficPolicy = canBeLocal ? wanted : 'Cluster'
  const checked = type === 'LoadBalancer' && externalTrafficPolicy === 'Local'
  const consequence = 'the load balancer gets no health answers'
  return {
    internalTrafficPolicy: readPolicy(spec['internalTrafficPolicy'], 'spec.internalTrafficPolicy', refusals),
    externalTrafficPolicy,
    healthCheckNodePort: checked
      ? readPort(spec['healthCheckNodePort'], 'spec.healthCheckNodePort', { refusals, consequence })
      : undefined,
    affinitySeconds: readAffinity(spec, refusals),
  }
}

function readPolicy(value: unknown, field: string, refusals: Refusals): TrafficPolicy {
  if (value === 'Local') return 'Local'
  if (!isAbsent(value) && value !== '' && value !== 'Cluster')
    refusals.refuse(field, value, 'is not Cluster or Local; Cluster holds')
  return 'Cluster'
}

function readAffinity(spec: JsonObject, refusals: Refusals): number | undefined {
  const affinity = spec['sessionAffinity']
  if (affinity !== 'ClientIP') {
    if (!isAbsent(affinity) && affinity !== '' && affinity !== 'None')
      refusals.refuse('spec.sessionAffinity', affinity, 'is not ClientIP or None; None holds')
    return undefined
  }
  const value = asObject(asObject(spec['sessionAffinityConfig'])['clientIP'])['timeoutSeconds']
  if (isAbsent(value)) return DEFAULT_AFFINITY_SECONDS
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= LONGEST_AFFINITY_SECONDS)
    return value
  const field = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds'
  refusals.refuse(
    field,
    value,
    `is not a number from 1 to ${LONGEST_AFFINITY_SECONDS}; ${DEFAULT_AFFINITY_SECONDS} holds`,
  )
  return DEFAULT_AFFINITY_SECONDS
}

function readAddresses(
  spec: JsonObject,
  status: JsonObject,
  context: { readonly refusals: Refusals; readonly annotations: AnnotationWishes },
): Record<Family, FamilyAddresses> {
  const { refusals, annotations } = context
  const clusterIps = readClusterIps(spec, refusals)
  const externalIps = readIps(asList(spec['externalIPs']), refusals)
  const loadBalancerIps = readLoadBalancerIps(status, annotations.ipMode, refusals)
  const ranges = readRanges(asList(spec['loadBalancerSourceRanges']), refusals)
  const of = (family: Family): FamilyAddresses => ({
    clusterIp: clusterIps.get(family),
    externalIps: externalIps.filter((ip) => familyOf(ip) === family),
    loadBalancerIps: loadBalancerIps.filter((ip) => familyOf(ip) === family),
    sourceRanges: limiting(ranges.filter((range) => cidrFamily(range) === family)),
  })
  return { IPv4: of('IPv4'), IPv6: of('IPv6') }
}

/** A list with a range of length 0 allows everybody, and so does an empty one. */
function limiting(ranges: readonly Cidr[]): readonly Cidr[] | undefined {
  return ranges.length === 0 || ranges.some((range) => prefixLength(range) === 0) ? undefined : ranges
}

function readClusterIps(spec: JsonObject, refusals: Refusals): Map<Family, Ip> {
  const families = asList(spec['ipFamilies'])
  const clusterIps = new Map<Family, Ip>()
  const take = (value: unknown, field: string, family: unknown): void => {
    const ip = parseIp(asText(value) ?? '')
    if (ip === undefined || (family !== undefined && family !== familyOf(ip)))
      refusals.refuse(field, value, 'is not an IP address of its family; the Service has none in this family')
    else if (!clusterIps.has(familyOf(ip))) clusterIps.set(familyOf(ip), ip)
  }
  // Objects from before dual stack have one address and say no family.
  if (families.length === 0) take(spec['clusterIP'], 'spec.clusterIP', undefined)
  const listed = asList(spec['clusterIPs'])
  for (const [i, family] of families.slice(0, FAMILIES.length).entries())
    if (i < listed.length) take(listed[i], `spec.clusterIPs[${i}]`, family)
  return clusterIps
}

function readIps(values: readonly unknown[], refusals: Refusals): Ip[] {
  const ips = new Set<Ip>()
  for (const [i, value] of values.entries()) {
    const ip = parseIp(asText(value) ?? '')
    if (ip !== undefined) ips.add(ip)
    else if (typeof value !== 'string' || value.trim() !== '')
      refusals.refuse(`spec.externalIPs[${i}]`, value, 'is not an IP address; the entry is left out')
  }
  return [...ips]
}

/** Entries with mode Proxy want the packet to reach the load balancer itself, so they are none of ours. */
function readLoadBalancerIps(
  status: JsonObject,
  override: AnnotationWishes['ipMode'],
  refusals: Refusals,
): Ip[] {
  const ips = new Set<Ip>()
  for (const [i, value] of asList(asObject(status['loadBalancer'])['ingress']).entries()) {
    const entry = asObject(value)
    if (isAbsent(entry['ip']) || entry['ip'] === '') continue
    const field = `status.loadBalancer.ingress[${i}]`
    const ip = parseIp(asText(entry['ip']) ?? '')
    const mode = override ?? entry['ipMode'] ?? 'VIP'
    if (ip === undefined)
      refusals.refuse(`${field}.ip`, entry['ip'], 'is not an IP address; the entry is left out')
    else if (mode === 'VIP') ips.add(ip)
    else if (mode !== 'Proxy')
      refusals.refuse(`${field}.ipMode`, mode, 'is not VIP or Proxy; the entry is left out')
  }
  return [...ips]
}

function readRanges(values: readonly unknown[], refusals: Refusals): Cidr[] {
  const ranges = new Set<Cidr>()
  for (const [i, value] of values.entries()) {
    const range = parseCidr((asText(value) ?? '').trim())
    if (range === undefined)
      refusals.refuse(`spec.loadBalancerSourceRanges[${i}]`, value, 'is not a network; the entry is left out')
    else ranges.add(range)
  }
  return [...ranges].sort()
}

function wishesOf(annotations: AnnotationWishes, portRange: ServiceWishes['portRange']): ServiceWishes {
  return annotations.wishes === NO_WISHES && portRange === undefined
    ? NO_WISHES
    : { ...annotations.wishes, portRange }
}

/** A range belongs to the ports whose number lies in it; a range without such a port says nothing. */
function assignRanges(
  ports: readonly PortSpec[],
  annotations: AnnotationWishes,
  refusals: Refusals,
): Map<PortSpec, ServiceWishes['portRange']> {
  const assigned = new Map<PortSpec, ServiceWishes['portRange']>()
  for (const range of annotations.portRanges) {
    const inside = ports.filter(({ port }) => port >= range.first && port <= range.last)
    for (const port of inside) assigned.set(port, range)
    if (inside.length === 0)
      refusals.refuse(
        'metadata.annotations[fairlead.io/port-range]',
        `${range.first}-${range.last}`,
        'holds no port of the Service; the range is ignored',
      )
  }
  return assigned
}
