/** Laws of the nftables planner over random sequences of decisions. */
import { atOnce } from '../../src/collections/sliced.ts'
import fc from 'fast-check'
import type { BackendObject } from '../../src/backends/nftables/plan-node.ts'
import { NftablesPlanner } from '../../src/backends/nftables/plan.ts'
import { scriptFor } from '../../src/backends/nftables/script.ts'
import type { Forwarding, PortForwarding, Route } from '../../src/forwarding/forwarding.ts'
import type { Cidr } from '../../src/net/cidr.ts'
import type { Protocol } from '../../src/net/protocol.ts'
import { diffState, isEmpty, type KernelState, observedState } from '../../src/netfilter/kernel-state.ts'
import { DROP, REJECT, aForwarding, aPort, everyOrigin, withPorts } from '../support/forwarding-builder.ts'

const OPTIONS = {
  family: 'IPv4',
  detector: { by: 'source', cidr: '10.0.0.0/8' as Cidr },
  masqueradeMark: 0x4000,
  dropInvalid: true,
} as const
const TABLE = { family: 'ip', name: 'kube-proxy' } as const

const route: fc.Arbitrary<Route> = fc.oneof(
  fc.record({
    action: fc.constant('forward' as const),
    pool: fc.constantFrom('cluster' as const, 'local' as const),
    masquerade: fc.boolean(),
  }),
  fc.constantFrom(DROP, REJECT),
)

/** Service port `n` has addresses of its own; service ports 0 to 2 share their ClusterIP, as ports of one Service do. */
function portOf(n: number): fc.Arbitrary<PortForwarding> {
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
      (e, i) => `10.1.0.${e}:80${given.local ? '*' : ''}=${i === 0 ? given.weight : 1}`,
    )
    const sourceRanges = given.sources ? ['192.0.2.0/24', '192.0.2.7/32', '198.51.100.1/32'] : []
    const frontend = { routes: given.routes, ...(given.sources ? { sourceRanges } : {}) }
    let port = aPort(`ns/s${n}`, { protocol: given.protocol })
      .clusterIp(n < 3 ? '172.30.0.1' : `172.30.0.${n}`, 80 + n)
      .endpoints(...texts)
    if (given.nodePort) port = port.nodePort(30_000 + n, frontend)
    if (given.range) port = port.loadBalancerIp(`203.0.113.${n}`, 1000, { ...frontend, lastPort: 2000 })
    if (given.endpoints.length === 0)
      port = port.externalIp(`198.51.100.${n + 1}`, 80, { routes: everyOrigin(REJECT) })
    const built = port.with({ affinitySeconds: given.affinity, algorithm: given.algorithm }).build()
    return { ...built, key: `ns/s${n}:/X` as PortForwarding['key'] }
  })
}

const change = fc
  .integer({ min: 0, max: 5 })
  .chain((n) => fc.option(portOf(n), { nil: undefined }).map((port) => [`ns/s${n}:/X`, port] as const))
const sequence = fc.array(fc.array(change, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 8 })

function objectsOf(state: KernelState<BackendObject>): ReadonlyMap<string, BackendObject> {
  const objects = new Map<string, BackendObject>()
  for (const fragment of state.values())
    for (const [key, object] of fragment) {
      if (objects.has(key)) throw new Error(`Two fragments hold ${key}`)
      objects.set(key, object)
    }
  return objects
}

/** Keys of the objects that an object's text refers to. */
function namedBy(object: BackendObject): readonly string[] {
  const text = object.kind === 'chain' ? object.rules.map((rule) => rule.text).join('\n') : object.text
  if (object.kind !== 'chain' && object.kind !== 'element') return []
  const chains = [...text.matchAll(/(?:goto|jump) ([a-z0-9-]+)/g)].map(([, name = '']) => `chain/${name}`)
  const sets = [...text.matchAll(/@([a-z-]+)/g)].map(([, name = '']) => `container/${name}`)
  return [...chains, ...sets]
}

function* stepsOf(
  changes: readonly (readonly (readonly [string, PortForwarding | undefined])[])[],
): Iterable<Forwarding> {
  let forwarding = aForwarding([])
  for (const step of changes) yield (forwarding = withPorts(forwarding, step))
}

test('NftablesPlanner.plan() says the same whether it came step by step or at once, one object per key', () => {
  fc.assert(
    fc.property(sequence, (changes) => {
      const planner = new NftablesPlanner(OPTIONS)
      for (const forwarding of stepsOf(changes)) {
        const state = planner.plan(forwarding)
        expect(objectsOf(state)).toEqual(objectsOf(new NftablesPlanner(OPTIONS).plan(forwarding)))
        expect(isEmpty(diffState(planner.plan(forwarding), state))).toBe(true)
      }
    }),
    { numRuns: 25 },
  )
})

test('NftablesPlanner.plan() names no chain and no set that is not planned', () => {
  fc.assert(
    fc.property(sequence, (changes) => {
      const planner = new NftablesPlanner(OPTIONS)
      for (const forwarding of stepsOf(changes)) {
        const objects = objectsOf(planner.plan(forwarding))
        const missing = [...objects.values()].flatMap(namedBy).filter((key) => !objects.has(key))
        expect(missing).toEqual([])
      }
    }),
    { numRuns: 25 },
  )
})

test('scriptFor() writes what differs and nothing else, and nothing when nothing differs', () => {
  fc.assert(
    fc.property(sequence, (changes) => {
      const planner = new NftablesPlanner(OPTIONS)
      let have = observedState<BackendObject>([])
      for (const forwarding of stepsOf(changes)) {
        const want = planner.plan(forwarding)
        const difference = diffState(want, have)
        const steps = atOnce(scriptFor(difference, TABLE))
        expect(steps.length === 0).toBe(isEmpty(difference))
        expect(steps.length).toBeLessThanOrEqual(2)
        const text = steps.map(({ stdin }) => stdin).join('')
        const elements = difference.created.filter(({ kind }) => kind === 'element')
        const forgotten = elements.filter(({ key }) => !text.includes(key.slice(key.indexOf(' ') + 1)))
        expect(forgotten).toEqual([])
        expect(atOnce(scriptFor(diffState(want, want), TABLE))).toEqual([])
        have = want
      }
    }),
    { numRuns: 25 },
  )
})
