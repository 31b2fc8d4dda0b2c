/** A small cluster with one Service for every case that the iptables backend tells apart, in either family. */
import type { BackendOptions } from '../../src/backends/backend.ts'
import type { Forwarding } from '../../src/forwarding/forwarding.ts'
import { parseCidr } from '../../src/net/cidr.ts'
import type { Family } from '../../src/net/ip.ts'
import {
  DROP,
  FORWARD,
  FORWARD_LOCAL,
  FORWARD_MASQUERADED,
  LOCAL_ROUTES,
  NODE_PORT_RANGE,
  type PortBuilder,
  REJECT,
  aForwarding,
  aPort,
  everyOrigin,
} from './forwarding-builder.ts'

export function iptablesOptions(family: Family, changes: Partial<BackendOptions> = {}): BackendOptions {
  const cidr = parseCidr(family === 'IPv4' ? '10.0.0.0/8' : 'fd00:10::/32')!
  const detector = { by: 'source', cidr } as const
  const usual = {
    family,
    detector,
    masqueradeMark: 0x4000,
    dropInvalid: true,
    nodePortRange: NODE_PORT_RANGE,
  }
  return { ...usual, ...changes }
}

/** `172.30.0.7` or `fd00:172:30::7`. */
export function serviceIp(family: Family, n: number): string {
  return family === 'IPv4' ? `172.30.${n >> 8}.${n & 255}` : `fd00:172:30::${n.toString(16)}`
}

/** `10.180.0.7:8080`, with `*` for one on this node. */
export function endpoint(family: Family, n: number, local = ''): string {
  return family === 'IPv4'
    ? `10.180.${n >> 8}.${n & 255}:8080${local}`
    : `[fd00:10:180::${n.toString(16)}]:8080${local}`
}

function outsideIp(family: Family, n: number): string {
  return family === 'IPv4' ? `192.0.2.${n}` : `2001:db8::${n.toString(16)}`
}

function ranges(family: Family): readonly string[] {
  return family === 'IPv4' ? ['203.0.113.0/25', '198.51.100.0/24'] : ['2600:5200::/33', '2600:1::/32']
}

export function oneOfEachKind(family: Family): PortBuilder[] {
  const ip = (n: number) => serviceIp(family, n)
  const to = (n: number, local = '') => endpoint(family, n, local)
  const noLocal = { pod: FORWARD, node: FORWARD_MASQUERADED, external: DROP }
  const many = Array.from({ length: 40 }, (_, i) => to(1000 + i))
  return [
    aPort('ns/web', { port: 'http', family }).clusterIp(ip(1)).nodePort(30080).endpoints(to(1), to(2, '*')),
    aPort('ns/dns', { protocol: 'UDP', family }).clusterIp(ip(2), 53).endpoints(to(3), to(4), to(5)),
    aPort('ns/sctp', { protocol: 'SCTP', family }).clusterIp(ip(3)).endpoints(to(6)),
    aPort('ns/none', { family }).clusterIp(ip(4), 80, { routes: everyOrigin(REJECT) }),
    aPort('ns/no-local', { family })
      .clusterIp(ip(5), 80, { routes: everyOrigin(DROP) })
      .endpoints(to(7)),
    aPort('ns/external', { family })
      .clusterIp(ip(6))
      .externalIp(outsideIp(family, 1))
      .loadBalancerIp(outsideIp(family, 2), 80, { routes: LOCAL_ROUTES, sourceRanges: ranges(family) })
      .nodePort(30081, { routes: LOCAL_ROUTES })
      .endpoints(to(8, '*'), to(9))
      .with({ healthCheckNodePort: 32000 }),
    aPort('ns/closed', { family })
      .clusterIp(ip(7), 80, { routes: everyOrigin(REJECT) })
      .loadBalancerIp(outsideIp(family, 3), 80, { routes: everyOrigin(REJECT), sourceRanges: ranges(family) })
      .nodePort(30082, { routes: everyOrigin(REJECT) }),
    aPort('ns/elsewhere', { family })
      .loadBalancerIp(outsideIp(family, 4), 80, { routes: noLocal })
      .nodePort(30083, { routes: noLocal, sourceRanges: ranges(family) })
      .endpoints(to(10)),
    aPort('ns/sticky', { family }).clusterIp(ip(8)).endpoints(to(11), to(12, '*')).affinity(3600),
    aPort('ns/games', { protocol: 'UDP', family })
      .clusterIp(ip(9), 10_000, { lastPort: 20_000 })
      .endpoints(to(13), to(14, '*')),
    aPort('ns/mixed', { family })
      .externalIp(outsideIp(family, 5), 80, { routes: { pod: REJECT, node: FORWARD_LOCAL, external: DROP } })
      .endpoints(to(15, '*')),
    aPort('ns/big', { family })
      .clusterIp(ip(10))
      .endpoints(...many),
    aPort('ns/hash', { family })
      .clusterIp(ip(11))
      .endpoints(...many.slice(0, 5))
      .with({ algorithm: 'source-hash' }),
    aPort('ns/weights', { family })
      .clusterIp(ip(12))
      .endpoints(`${to(16)}=1`, `${to(17)}=3`),
  ]
}

/** Plain Services `ns/s<n>` with ClusterIPs from `first` on. */
export function plainServices(family: Family, first: number, count: number): PortBuilder[] {
  return Array.from({ length: count }, (_, i) =>
    aPort(`ns/s${first + i}`, { family })
      .clusterIp(serviceIp(family, 256 + first + i))
      .endpoints(endpoint(family, 2000 + first + i)),
  )
}

export function wholeCluster(family: Family): Forwarding {
  const node = { localhostNodePorts: family === 'IPv4' }
  return aForwarding([...oneOfEachKind(family), ...plainServices(family, 0, 200)], node, family)
}
