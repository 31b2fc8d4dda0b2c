/**
 * The cluster of a scenario as API objects: pure, and the same in every process that asks. Services are scattered over
 * their network as the API server's allocator does it; an endpoint that is replaced gets an address never used before.
 */
import type { ApiObject } from '../src/lab/api-server/api-object.ts'

export const SERVICE_CIDR = '172.30.0.0/16'
/** Holds all endpoints, and the client too: it counts as a pod. */
export const CLUSTER_CIDR = '10.0.0.0/8'
/** Only the endpoints. */
export const ENDPOINT_CIDR = '10.0.0.0/12'
/** An address of the server that is reached through a node without any rule. */
export const BARE_IP = '10.250.0.1'
export const NODE_NAME = 'bench-node'
export const NODE_IP = '192.168.201.1'
export const NAMESPACE = 'bench'

/** Ports of the endpoints, and by which Service port they are reached. */
export const PORTS = {
  tcp: { service: 80, target: 8080 },
  http: { service: 81, target: 8081 },
  iperf: { service: 5201, target: 5201 },
  udp: { service: 53, target: 5353 },
} as const

/** EndpointSlices hold at most this many endpoints, as the controller writes them. */
const PER_SLICE = 100
const REPLACEMENTS = 8 << 16

export interface ClusterSize {
  readonly services: number
  readonly endpoints: number
}

export type Position = 'first' | 'middle' | 'last'

/** The Services that are looked at closely; they alone have the ports `http`, `iperf` and `udp` too. */
export function probed({ services }: ClusterSize): Readonly<Record<Position, number>> {
  return { first: 0, middle: services >> 1, last: services - 1 }
}

/**
 * The Services whose endpoints are changed: those beside the probed ones, because most Services have one TCP port and
 * nothing else.
 */
export function changed(size: ClusterSize): Readonly<Record<Position, number>> {
  const { first, middle, last } = probed(size)
  return size.services < 8 ? probed(size) : { first: first + 1, middle: middle + 1, last: last - 1 }
}

export function clusterIp(service: number): string {
  // An odd factor reaches every address once; the first of the network stays free.
  const n = ((service + 1) * 40_503) % 65_536
  return `172.30.${n >> 8}.${n & 255}`
}

export function endpointIp(size: ClusterSize, service: number, slot: number): string {
  return address(service * size.endpoints + slot)
}

/** The address of the n-th endpoint that replaces another. */
export function replacementIp(n: number): string {
  return address(REPLACEMENTS + n)
}

/** Endpoint addresses of a Service that UDP is sent to: the server needs a socket for each. */
export function udpEndpointIps(size: ClusterSize): string[] {
  const services = new Set(Object.values(probed(size)))
  return [...services].flatMap((service) =>
    Array.from({ length: Math.min(size.endpoints, PER_SLICE) }, (_, slot) => endpointIp(size, service, slot)),
  )
}

export function serviceObject(size: ClusterSize, service: number): ApiObject {
  const ip = clusterIp(service)
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: serviceName(service), namespace: NAMESPACE, labels: { app: serviceName(service) } },
    spec: {
      type: 'ClusterIP',
      clusterIP: ip,
      clusterIPs: [ip],
      ipFamilies: ['IPv4'],
      ipFamilyPolicy: 'SingleStack',
      internalTrafficPolicy: 'Cluster',
      selector: { app: serviceName(service) },
      sessionAffinity: 'None',
      ports: portsOf(size, service).map(([name, port]) => ({
        name,
        protocol: protocolOf(name),
        port: port.service,
        targetPort: port.target,
      })),
    },
    status: { loadBalancer: {} },
  }
}

/** What everything else on a node waits for. They are the last of the lists, which are in the order of names. */
const NEEDED = [
  { name: 'kubernetes', namespace: 'default', port: 443 },
  { name: 'kube-dns', namespace: 'kube-system', port: 53 },
] as const

/** `ip:port` of the Services `kubernetes` and cluster DNS; their endpoints listen for TCP. */
export function neededTargets({ services }: ClusterSize): string[] {
  return NEEDED.map(({ port }, n) => `${clusterIp(services + n)}:${port}`)
}

function* neededObjects(size: ClusterSize): Generator<ApiObject> {
  for (const [n, { name, namespace, port }] of NEEDED.entries()) {
    const service = size.services + n
    const one = { services: service + 1, endpoints: 1 }
    const { spec, ...rest } = serviceObject(size, service)
    const ports = [{ name: 'tcp', protocol: 'TCP', port, targetPort: PORTS.tcp.target }]
    yield { ...rest, metadata: { name, namespace }, spec: { ...(spec as object), ports } }
    const slice = sliceObject(one, { service, slice: 0 }, () => endpointIp(size, 0, 0))
    const labels = { ...slice.metadata.labels, 'kubernetes.io/service-name': name }
    yield { ...slice, metadata: { ...slice.metadata, name, namespace, labels } }
  }
}

export function sliceCount(size: ClusterSize): number {
  return Math.ceil(size.endpoints / PER_SLICE)
}

/** The slice that holds an endpoint. */
export function sliceOf(slot: number): number {
  return Math.floor(slot / PER_SLICE)
}

/** `ipAt` tells the present address of each slot. */
export function sliceObject(
  size: ClusterSize,
  which: { readonly service: number; readonly slice: number },
  ipAt: (slot: number) => string,
): ApiObject {
  const { service, slice } = which
  const from = slice * PER_SLICE
  const slots = Array.from({ length: Math.min(PER_SLICE, size.endpoints - from) }, (_, i) => from + i)
  const name = serviceName(service)
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-${slice}`,
      namespace: NAMESPACE,
      labels: {
        'kubernetes.io/service-name': name,
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      },
    },
    addressType: 'IPv4',
    ports: portsOf(size, service).map(([portName, port]) => ({
      name: portName,
      protocol: protocolOf(portName),
      port: port.target,
    })),
    endpoints: slots.map((slot) => ({
      addresses: [ipAt(slot)],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: `node-${slot % 97}`,
      targetRef: { kind: 'Pod', namespace: NAMESPACE, name: `${name}-${slot}` },
    })),
  }
}

/** Everything but what the API server makes itself. */
export function* clusterObjects(size: ClusterSize): Generator<ApiObject> {
  yield { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE }, status: { phase: 'Active' } }
  yield {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: NODE_NAME, labels: { 'kubernetes.io/hostname': NODE_NAME } },
    spec: { podCIDR: '10.200.0.0/24', podCIDRs: ['10.200.0.0/24'] },
    status: {
      addresses: [
        { type: 'InternalIP', address: NODE_IP },
        { type: 'Hostname', address: NODE_NAME },
      ],
    },
  }
  for (let service = 0; service < size.services; service++) {
    yield serviceObject(size, service)
    for (let slice = 0; slice < sliceCount(size); slice++)
      yield sliceObject(size, { service, slice }, (slot) => endpointIp(size, service, slot))
  }
  yield* neededObjects(size)
}

export type PortName = keyof typeof PORTS

export function portsOf(size: ClusterSize, service: number): [PortName, (typeof PORTS)[PortName]][] {
  const all = Object.entries(PORTS) as [PortName, (typeof PORTS)[PortName]][]
  return Object.values(probed(size)).includes(service) ? all : all.filter(([name]) => name === 'tcp')
}

export function protocolOf(name: PortName): 'TCP' | 'UDP' {
  return name === 'udp' ? 'UDP' : 'TCP'
}

export function serviceName(service: number): string {
  return `service-${String(service).padStart(5, '0')}`
}

function address(n: number): string {
  // The last byte is 1 to 250, so that no network or broadcast address looks like an endpoint.
  const host = n % 250
  const rest = Math.floor(n / 250)
  return `10.${rest >> 8}.${rest & 255}.${host + 1}`
}
