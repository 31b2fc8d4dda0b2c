/**
 * What happens to one new connection: the oracle of the tests and the heart of `explain`. It reads the decision the
 * way a person would, frontend by frontend, and shares no code with the backends, so that both can be wrong only by
 * themselves.
 */
import type { ServicePortKey } from '../model/service-port.ts'
import { type Cidr, cidrContains } from '../net/cidr.ts'
import { hostPort, type Ip } from '../net/ip.ts'
import type { Port, Protocol } from '../net/protocol.ts'
import { type RowName, rowOfFrontend } from './decision-table.ts'
import type {
  Forwarding,
  Frontend,
  NodeForwarding,
  Origin,
  PortForwarding,
  Route,
  Target,
} from './forwarding.ts'
import { isLoopback } from './node-port-addresses.ts'

/** How local pod traffic is recognised; the same shapes as a backend's detector. */
export type PodDetector =
  | { readonly by: 'source'; readonly cidr: Cidr }
  | { readonly by: 'interface'; readonly name: string }
  | { readonly by: 'interface-prefix'; readonly prefix: string }

export interface Packet {
  readonly sourceIp: Ip
  /** Where it came in; `undefined`: the node itself sent it, or it is not known. */
  readonly inInterface?: string | undefined
  readonly protocol: Protocol
  readonly destIp: Ip
  readonly destPort: Port
}

export interface ReachableTarget {
  readonly ip: Ip
  readonly port: Port
  readonly weight: number
  readonly masquerade: boolean
  /** Masqueraded because it would answer itself. */
  readonly hairpin: boolean
}

export type Verdict =
  | { readonly kind: 'dnat'; readonly targets: readonly ReachableTarget[] }
  | { readonly kind: 'reject' }
  | { readonly kind: 'drop' }
  /**
   * No frontend matches. `unused-port`: of a ClusterIP; `unallocated`: inside a ServiceCIDR, but nobody's. What a mode
   * does with these two stands in its README; to everything else nothing happens.
   */
  | { readonly kind: 'none'; readonly because: 'unused-port' | 'unallocated' | 'not-a-service' }

export interface RoutedPacket {
  readonly verdict: Verdict
  readonly origin: Origin
  readonly key: ServicePortKey | undefined
  readonly frontend: Frontend | undefined
  /** The row of the decision table; `undefined` without a frontend. */
  readonly row: RowName | undefined
  /** How it came about, a sentence a line. */
  readonly trace: readonly string[]
}

export function routePacket(
  forwarding: Forwarding,
  packet: Packet,
  detector: PodDetector | undefined,
): RoutedPacket {
  const origin = originOf(forwarding.node, packet, detector)
  const trace = [`${packet.sourceIp} is ${ORIGIN_TEXT[origin]}`]
  const match = findFrontend(forwarding, packet)
  if (match === undefined) {
    const because = whyNone(forwarding, packet)
    trace.push(`${hostPort(packet.destIp, packet.destPort)}/${packet.protocol} ${NONE_TEXT[because]}`)
    return {
      verdict: { kind: 'none', because },
      origin,
      key: undefined,
      frontend: undefined,
      row: undefined,
      trace,
    }
  }
  const { port, frontend } = match
  const row = rowOfFrontend(frontend)
  trace.push(`${frontendText(frontend)}/${packet.protocol} is a ${frontend.kind} of ${port.key}`)
  const verdict = decide(match, { packet, origin, row, trace })
  return { verdict, origin, key: port.key, frontend, row, trace }
}

interface Match {
  readonly port: PortForwarding
  readonly frontend: Frontend
}

/** An exact address comes before the NodePorts. */
export function findFrontend(forwarding: Forwarding, packet: Packet): Match | undefined {
  const { destIp, destPort, protocol } = packet
  const onNode = isNodePortAddress(forwarding.node, destIp)
  let nodePort: Match | undefined
  for (const port of forwarding.ports.values()) {
    if (port.protocol !== protocol) continue
    for (const frontend of port.frontends) {
      if (destPort < frontend.port || destPort > (frontend.lastPort ?? frontend.port)) continue
      if (frontend.ip === destIp) return { port, frontend }
      if (frontend.ip === undefined && onNode) nodePort = { port, frontend }
    }
  }
  return nodePort
}

export function isNodePortAddress(node: NodeForwarding, ip: Ip): boolean {
  if (isLoopback(ip)) return node.localhostNodePorts && !ip.includes(':')
  return node.nodePorts.scope === 'all' ? node.localIps.includes(ip) : node.nodePorts.ips.includes(ip)
}

function originOf(node: NodeForwarding, packet: Packet, detector: PodDetector | undefined): Origin {
  if (detector !== undefined && isFromPod(packet, detector)) return 'pod'
  return isLoopback(packet.sourceIp) || node.localIps.includes(packet.sourceIp) ? 'node' : 'external'
}

function isFromPod(packet: Packet, detector: PodDetector): boolean {
  switch (detector.by) {
    case 'source':
      return cidrContains(detector.cidr, packet.sourceIp)
    case 'interface':
      return packet.inInterface === detector.name
    case 'interface-prefix':
      return packet.inInterface?.startsWith(detector.prefix) ?? false
  }
}

function decide(
  { port, frontend }: Match,
  context: {
    readonly packet: Packet
    readonly origin: Origin
    readonly row: RowName
    readonly trace: string[]
  },
): Verdict {
  const { packet, origin, row, trace } = context
  const ranges = frontend.sourceRanges
  if (ranges !== undefined) {
    const range = ranges.find((cidr) => cidrContains(cidr, packet.sourceIp))
    trace.push(
      range === undefined ? `${packet.sourceIp} is in none of the source ranges` : `${range} allows it`,
    )
    if (range === undefined) return { kind: 'drop' }
  }
  const route = frontend.routes[origin]
  trace.push(`row "${row}", column ${origin}: ${routeText(route)}`)
  if (route.action !== 'forward') return { kind: route.action }
  const targets = port.pools[route.pool].map((target) => reach(target, { packet, frontend, route }))
  for (const { hairpin, ip } of targets)
    if (hairpin) trace.push(`${ip} would answer itself, so it is masqueraded`)
  return { kind: 'dnat', targets }
}

function reach(
  target: Target,
  of: {
    readonly packet: Packet
    readonly frontend: Frontend
    readonly route: { readonly masquerade: boolean }
  },
): ReachableTarget {
  const hairpin = target.local && target.ip === of.packet.sourceIp
  return {
    ip: target.ip,
    port: of.frontend.lastPort === undefined ? target.port : of.packet.destPort,
    weight: target.weight,
    masquerade: of.route.masquerade || hairpin,
    hairpin,
  }
}

function whyNone(
  forwarding: Forwarding,
  { destIp }: Packet,
): 'unused-port' | 'unallocated' | 'not-a-service' {
  for (const { frontends } of forwarding.ports.values())
    if (frontends.some(({ kind, ip }) => kind === 'ClusterIP' && ip === destIp)) return 'unused-port'
  return forwarding.node.serviceCidrs.some((cidr) => cidrContains(cidr, destIp))
    ? 'unallocated'
    : 'not-a-service'
}

const ORIGIN_TEXT: Readonly<Record<Origin, string>> = {
  pod: 'a pod',
  node: 'this node',
  external: 'neither a pod nor this node',
}

const NONE_TEXT = {
  'unused-port': 'is a port that the ClusterIP does not have',
  unallocated: 'is in a ServiceCIDR, but belongs to no Service',
  'not-a-service': 'belongs to no Service',
} as const

function frontendText({ ip, port, lastPort }: Frontend): string {
  const ports = lastPort === undefined ? String(port) : `${port}-${lastPort}`
  return ip === undefined ? `*:${ports}` : hostPort(ip, port) + ports.slice(String(port).length)
}

function routeText(route: Route): string {
  if (route.action !== 'forward') return route.action
  return `forward to the ${route.pool} pool${route.masquerade ? ', masqueraded' : ''}`
}
