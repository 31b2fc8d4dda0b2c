/** Random sequences of decisions, of all that service ports can be. */
import fc from 'fast-check'
import type { Forwarding, PortForwarding, Route } from '../../src/forwarding/forwarding.ts'
import type { Family } from '../../src/net/ip.ts'
import type { Protocol } from '../../src/net/protocol.ts'
import { DROP, REJECT, aForwarding, aPort, everyOrigin, withPorts } from './forwarding-builder.ts'

export type PortSequence = readonly (readonly (readonly [string, PortForwarding | undefined])[])[]

const ADDRESSES = {
  IPv4: {
    endpoint: (n: number) => `10.1.0.${n}`,
    clusterIp: (n: number) => `172.30.0.${n}`,
    balancer: (n: number) => `203.0.113.${n}`,
    external: (n: number) => `198.51.100.${n}`,
    sources: ['192.0.2.0/24', '192.0.2.7/32', '198.51.100.1/32'],
  },
  IPv6: {
    endpoint: (n: number) => `[fd00:10:1::${n}]`,
    clusterIp: (n: number) => `fd00:172:30::${n}`,
    balancer: (n: number) => `2001:db8:113::${n}`,
    external: (n: number) => `2001:db8:51::${n}`,
    sources: ['2001:db8:2::/48', '2001:db8:2::7/128', '2001:db8:51::1/128'],
  },
} as const satisfies Record<Family, unknown>

const route: fc.Arbitrary<Route> = fc.oneof(
  fc.record({
    action: fc.constant('forward' as const),
    pool: fc.constantFrom('cluster' as const, 'local' as const),
    masquerade: fc.boolean(),
  }),
  fc.constantFrom(DROP, REJECT),
)

/** Service port `n` has addresses of its own; service ports 0 to 2 share their ClusterIP, as ports of one Service do. */
function portOf(n: number, family: Family): fc.Arbitrary<PortForwarding> {
  const { endpoint, clusterIp, balancer, external, sources } = ADDRESSES[family]
  const choices = fc.record({
    endpoints: fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 6 }),
    weight: fc.integer({ min: 1, max: 3 }),
    local: fc.boolean(),
    routes: fc.record({ pod: route, node: route, external: route }),
    affinity: fc.option(fc.constantFrom(60, 3600), { nil: undefined }),
    algorithm: fc.constantFrom(undefined, 'source-hash' as const),
    nodePort: fc.boolean(),
    range: fc.boolean(),
    sources: fc.boolean(),
    protocol: fc.constantFrom<Protocol>('TCP', 'UDP', 'SCTP'),
  })
  return choices.map((given) => {
    const texts = given.endpoints.map(
      (e, i) => `${endpoint(e)}:80${given.local ? '*' : ''}=${i === 0 ? given.weight : 1}`,
    )
    const sourceRanges = given.sources ? sources : []
    const frontend = { routes: given.routes, ...(given.sources ? { sourceRanges } : {}) }
    let port = aPort(`ns/s${n}`, { protocol: given.protocol, family })
      .clusterIp(clusterIp(n < 3 ? 1 : n), 80 + n)
      .endpoints(...texts)
    if (given.nodePort) port = port.nodePort(30_000 + n, frontend)
    if (given.range) port = port.loadBalancerIp(balancer(n), 1000, { ...frontend, lastPort: 2000 })
    if (given.endpoints.length === 0)
      port = port.externalIp(external(n + 1), 80, { routes: everyOrigin(REJECT) })
    const built = port.with({ affinitySeconds: given.affinity, algorithm: given.algorithm }).build()
    return { ...built, key: `ns/s${n}:/X` as PortForwarding['key'] }
  })
}

/** Changes of up to four service ports at a time, one after the other. */
export function portSequences(family: Family): fc.Arbitrary<PortSequence> {
  const change = fc
    .integer({ min: 0, max: 5 })
    .chain((n) =>
      fc.option(portOf(n, family), { nil: undefined }).map((port) => [`ns/s${n}:/X`, port] as const),
    )
  return fc.array(fc.array(change, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 8 })
}

/** The decisions after each change. */
export function* stepsOf(changes: PortSequence, family: Family = 'IPv4'): Iterable<Forwarding> {
  let forwarding = aForwarding([], {}, family)
  for (const step of changes) yield (forwarding = withPorts(forwarding, step))
}
