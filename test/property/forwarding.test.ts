/** Laws of the pure half: whatever way a cluster came to be as it is, the decision about it is the same. */
import fc from 'fast-check'
import { ForwardingDecider, type ForwardingOptions } from '../../src/forwarding/decide-forwarding.ts'
import type { Forwarding, Frontend } from '../../src/forwarding/forwarding.ts'
import { findFrontend, routePacket } from '../../src/forwarding/route-packet.ts'
import { ClusterStore } from '../../src/model/cluster-store.ts'
import type { ResourceEvent, ResourceKind } from '../../src/model/resource-event.ts'
import { FAMILIES, type Family } from '../../src/net/ip.ts'
import type { ApiObject } from '../conformance/conformance-case.ts'
import { aService, aSlice } from '../support/builders.ts'
import { objectName } from '../support/conformance-cases.ts'
import { aCidr, anIp } from '../support/decided-case.ts'

const NODE = 'node-a'

interface Change {
  readonly resource: ResourceKind
  readonly object: ApiObject
  readonly gone: boolean
}

/** Few names, addresses and ports, so that everything collides with everything. */
const ips = { IPv4: (n: number) => `10.0.0.${n}`, IPv6: (n: number) => `fd00::${n}` } as const
const small = fc.integer({ min: 1, max: 4 })

const service: fc.Arbitrary<Change> = fc
  .record({
    name: fc.constantFrom('a', 'a-b', 'b', 'c'),
    cluster: small,
    dual: fc.boolean(),
    ports: fc.uniqueArray(fc.constantFrom(80, 81, 8080), { minLength: 1, maxLength: 2 }),
    nodePort: fc.option(fc.constantFrom(30001, 30002)),
    external: fc.uniqueArray(fc.integer({ min: 1, max: 8 }), { maxLength: 3 }),
    loadBalancer: fc.option(fc.integer({ min: 1, max: 8 })),
    ranges: fc.subarray(['10.0.0.0/30', '192.168.0.0/16', 'fd00::/126', 'nonsense']),
    local: fc.record({ internal: fc.boolean(), external: fc.boolean() }),
    created: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
    range: fc.option(fc.constantFrom('80-90', '8000-9000', '81-8080')),
    gone: fc.boolean(),
  })
  .map((given) => {
    const addresses = [ips.IPv4(given.cluster), ...(given.dual ? [ips.IPv6(given.cluster)] : [])]
    let built = aService(`ns/${given.name}`)
      .clusterIp(...addresses)
      .createdAt(given.created)
    built = built.externalIp(...given.external.flatMap((n) => [ips.IPv4(n), ips.IPv6(n)]))
    if (given.loadBalancer !== null) built = built.loadBalancer(ips.IPv4(given.loadBalancer))
    built = built.sourceRanges(...given.ranges)
    if (given.local.internal) built = built.internalLocal()
    if (given.local.external) built = built.with({ type: 'LoadBalancer' }).externalLocal(31000)
    if (given.range !== null) built = built.wish('port-range', given.range)
    for (const [i, port] of given.ports.entries())
      built = built.port(port, {
        name: `p${i}`,
        ...(given.nodePort === null ? {} : { nodePort: given.nodePort + i }),
      })
    return { resource: 'Service', object: built.build(), gone: given.gone }
  })

const slice: fc.Arbitrary<Change> = fc
  .record({
    service: fc.constantFrom('a', 'a-b', 'b', 'c', 'nobody'),
    name: fc.constantFrom('s1', 's2', 's3'),
    family: fc.constantFrom<Family>('IPv4', 'IPv6'),
    ports: fc.uniqueArray(fc.constantFrom('p0', 'p1', ''), { maxLength: 2 }),
    endpoints: fc.array(
      fc.record({
        n: small,
        here: fc.boolean(),
        ready: fc.boolean(),
        serving: fc.boolean(),
        terminating: fc.boolean(),
        zones: fc.subarray(['z1', 'z2']),
      }),
      { maxLength: 4 },
    ),
    gone: fc.boolean(),
  })
  .map((given) => {
    let built = aSlice(`ns/${given.service}`)
    for (const name of given.ports) built = built.port(8080, { name })
    for (const one of given.endpoints)
      built = built.endpoint(ips[given.family](one.n), { ...one, on: one.here ? NODE : 'node-b' })
    const object = built.build()
    const metadata = { ...(object['metadata'] as object), name: given.name }
    return {
      resource: 'EndpointSlice',
      object: { ...object, metadata, addressType: given.family },
      gone: given.gone,
    }
  })

const node: fc.Arbitrary<Change> = fc
  .record({ zone: fc.constantFrom('', 'z1', 'z2'), primary: small, gone: fc.boolean() })
  .map(({ zone, primary, gone }) => ({
    resource: 'Node',
    object: {
      metadata: { name: NODE, labels: { 'topology.kubernetes.io/zone': zone } },
      status: { addresses: [{ type: 'InternalIP', address: ips.IPv4(primary) }] },
    },
    gone,
  }))

const history = fc.array(fc.oneof({ weight: 4, arbitrary: service }, { weight: 4, arbitrary: slice }, node), {
  maxLength: 25,
})

const options: fc.Arbitrary<ForwardingOptions> = fc.record({
  family: fc.constantFrom<Family>(...FAMILIES),
  hasDetector: fc.boolean(),
  masqueradeAll: fc.boolean(),
  nodePortAddresses: fc.constantFrom('all' as const, 'primary' as const, [aCidr('10.0.0.0/30')]),
  localhostNodePorts: fc.boolean(),
  externalIpCidrs: fc.constantFrom(undefined, [], [aCidr('10.0.0.0/30'), aCidr('fd00::/126')]),
})

function newStore(): ClusterStore {
  const store = new ClusterStore({ nodeName: NODE })
  store.setLocalIps(['10.0.0.1', '10.0.0.9', 'fd00::1', '127.0.0.1'].map(anIp))
  return store
}

/** A value that is equal for two decisions exactly if they say the same. */
function told(forwarding: Forwarding, decider: ForwardingDecider): unknown {
  return {
    ports: [...forwarding.ports.values()].sort((a, b) => (a.key < b.key ? -1 : 1)),
    node: forwarding.node,
    conflicts: decider.conflicts(),
  }
}

/** The last state of each object; a Node that went leaves what was known of it, so it is left out of these laws. */
function survivors(changes: readonly Change[]): Change[] {
  const last = new Map<string, Change>()
  for (const change of changes) last.set(`${change.resource} ${objectName(change.object)}`, change)
  return [...last.values()].filter(({ gone, resource }) => !gone || resource === 'Node')
}

function eventOf({ resource, object, gone }: Change): ResourceEvent {
  return { type: gone && resource !== 'Node' ? 'deleted' : 'changed', resource, object }
}

function asList(resource: ResourceKind, objects: readonly unknown[], pageSize: number): ResourceEvent[] {
  const pages: ResourceEvent[] = []
  for (let i = 0; i === 0 || i < objects.length; i += pageSize)
    pages.push({ type: 'page', resource, first: i === 0, objects: objects.slice(i, i + pageSize) })
  return [...pages, { type: 'listed', resource }]
}

describe('forwarding', () => {
  test('forwarding is the same by every way to the same cluster', () => {
    fc.assert(
      fc.property(
        history,
        options,
        fc.array(fc.boolean()),
        fc.integer({ min: 1, max: 3 }),
        (changes, given, stops, pageSize) => {
          const store = newStore()
          const decider = new ForwardingDecider(given)
          for (const [i, change] of changes.entries()) {
            store.apply(eventOf(change))
            if (stops[i % Math.max(1, stops.length)] === true) store.apply(eventOf(change))
            if (stops[i % Math.max(1, stops.length)] === false) decider.decide(store.snapshot())
          }
          const grown = told(decider.decide(store.snapshot()), decider)

          const listed = newStore()
          const fresh = new ForwardingDecider(given)
          // In another order, in pages, over the remains of what was there before.
          for (const change of changes.slice(0, 3)) listed.apply(eventOf(change))
          fresh.decide(listed.snapshot())
          const left = survivors(changes).reverse()
          for (const resource of ['EndpointSlice', 'Service', 'Node'] as const) {
            const objects = left.filter((one) => one.resource === resource).map(({ object }) => object)
            for (const event of asList(resource, objects, pageSize)) listed.apply(event)
          }
          expect(told(fresh.decide(listed.snapshot()), fresh)).toEqual(grown)
        },
      ),
      { numRuns: 120 },
    )
  })

  test('forwarding that is remembered equals forwarding decided afresh, and unchanged parts keep their identity', () => {
    fc.assert(
      fc.property(history, options, (changes, given) => {
        const store = newStore()
        const remembering = new ForwardingDecider(given)
        for (const change of changes) {
          store.apply(eventOf(change))
          const snapshot = store.snapshot()
          const before = remembering.decide(snapshot)
          const fresh = new ForwardingDecider(given)
          expect(told(before, remembering)).toEqual(told(fresh.decide(snapshot), fresh))
          expect(remembering.decide(snapshot)).toBe(before)
          store.apply(eventOf(change))
          expect(store.snapshot()).toBe(snapshot)
        }
      }),
      { numRuns: 80 },
    )
  })

  test('forwarding never has two frontends for one packet', () => {
    fc.assert(
      fc.property(history, options, (changes, given) => {
        const store = newStore()
        for (const change of changes) store.apply(eventOf(change))
        const { ports } = new ForwardingDecider(given).decide(store.snapshot())
        const seen = new Map<string, Frontend>()
        const twice: string[] = []
        const claims = [...ports.values()].flatMap((port) =>
          port.frontends.map((frontend) => ({ port, frontend })),
        )
        for (const { port, frontend } of claims)
          for (let n = frontend.port; n <= (frontend.lastPort ?? frontend.port); n++) {
            const packet = `${port.protocol} ${frontend.ip ?? 'node'} ${n}`
            if (seen.has(packet)) twice.push(packet)
            seen.set(packet, frontend)
          }
        expect(twice).toEqual([])
      }),
      { numRuns: 60 },
    )
  })

  test('forwarding answers every packet of a frontend by that frontend', () => {
    fc.assert(
      fc.property(history, options, (changes, given) => {
        const store = newStore()
        for (const change of changes) store.apply(eventOf(change))
        const forwarding = new ForwardingDecider(given).decide(store.snapshot())
        for (const port of forwarding.ports.values())
          for (const frontend of port.frontends) {
            if (frontend.ip === undefined) continue
            const sourceIp = anIp(given.family === 'IPv4' ? '203.0.113.1' : '2001:db8::1')
            const packet = { sourceIp, protocol: port.protocol, destIp: frontend.ip, destPort: frontend.port }
            expect(findFrontend(forwarding, packet)?.frontend).toBe(frontend)
            const { verdict } = routePacket(forwarding, packet, undefined)
            expect(verdict.kind).not.toBe('none')
            if (verdict.kind === 'dnat') expect(verdict.targets.length).toBeGreaterThan(0)
          }
      }),
      { numRuns: 60 },
    )
  })
})
