/**
 * Objects of absurd size: what we keep and what we write stays in proportion to what a Service needs, in counts and
 * bytes. 100,000 endpoints are twenty times more than Kubernetes is tested with.
 */
import { atOnce, type Sliced } from '../../src/collections/sliced.ts'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { IptablesPlanner } from '../../src/backends/iptables/plan.ts'
import { scriptFor as iptablesScript } from '../../src/backends/iptables/script.ts'
import { IpvsPlanner } from '../../src/backends/ipvs/plan.ts'
import { scriptFor as ipvsScript } from '../../src/backends/ipvs/script.ts'
import { NUMBERS_IN_KEYS } from '../../src/backends/nftables/plan-dialect.ts'
import { wordsOf } from '../../src/backends/nftables/plan-words.ts'
import { NftablesPlanner } from '../../src/backends/nftables/plan.ts'
import { tableName } from '../../src/backends/nftables/names.ts'
import { scriptFor as nftablesScript } from '../../src/backends/nftables/script.ts'
import type { BackendName, BackendOptions, KernelScript } from '../../src/backends/backend.ts'
import type { Forwarding } from '../../src/forwarding/forwarding.ts'
import { ForwardingDecider } from '../../src/forwarding/decide-forwarding.ts'
import { ClusterStore } from '../../src/model/cluster-store.ts'
import {
  type Changes,
  diffState,
  emptyState,
  isEmpty,
  type KernelState,
} from '../../src/netfilter/kernel-state.ts'
import type { KernelObject } from '../../src/netfilter/kernel-state.ts'
import type { Cidr } from '../../src/net/cidr.ts'
import type { ApiObject } from '../conformance/conformance-case.ts'
import { aService, aSlice } from '../support/builders.ts'

const SLICES = 100
const PER_SLICE = 1000
const MEGABYTE = 1_000_000

const OPTIONS: BackendOptions = {
  family: 'IPv4',
  detector: { by: 'source', cidr: '10.244.0.0/16' as Cidr },
  masqueradeMark: 0x4000,
  dropInvalid: true,
}

function slice(number: number, firstIsReady = true): ApiObject {
  const object = aSlice('ns/huge').port(8080).build()
  const endpoints = Array.from({ length: PER_SLICE }, (_, i) => ({
    addresses: [`10.${128 + number}.${i >> 8}.${i & 255}`],
    conditions: { ready: firstIsReady || i > 0 },
    nodeName: `node-${i % 50}`,
  }))
  return { ...object, endpoints, metadata: { ...(object['metadata'] as object), name: `huge-${number}` } }
}

function change(store: ClusterStore, resource: 'Service' | 'EndpointSlice', object: unknown): void {
  store.apply({ type: 'changed', resource, object })
}

function deciderOf(): ForwardingDecider {
  const more = { masqueradeAll: false, localhostNodePorts: false, externalIpCidrs: undefined }
  return new ForwardingDecider({ family: 'IPv4', hasDetector: true, nodePortAddresses: 'all', ...more })
}

/** Bytes in use when everything that can be let go has been. */
function heapAfterCollection(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().heapUsed
}

function bytesOf(script: KernelScript): number {
  return script.reduce((sum, { stdin }) => sum + stdin.length, 0)
}

interface Mode {
  plan(forwarding: Forwarding): KernelState<KernelObject>
  script(changes: Changes<KernelObject>): KernelScript
}

/** The planner and the script of one mode; whatever one makes the other takes. */
function modeOf<O extends KernelObject>(
  plan: (forwarding: Forwarding) => KernelState<O>,
  script: (changes: Changes<O>) => Sliced<KernelScript>,
): Mode {
  return { plan, script: (changes) => atOnce(script(changes as Changes<O>)) }
}

const MODES: Readonly<Record<BackendName, () => Mode>> = {
  iptables: () => {
    const planner = new IptablesPlanner(OPTIONS, 'ipset')
    return modeOf(
      (wanted) => planner.plan(wanted),
      (changes) => iptablesScript(changes, 'iptables-restore'),
    )
  },
  nftables: () => {
    const planner = new NftablesPlanner(OPTIONS, wordsOf(OPTIONS.family, NUMBERS_IN_KEYS))
    return modeOf(
      (wanted) => planner.plan(wanted),
      (changes) => nftablesScript(changes, tableName('IPv4')),
    )
  },
  ipvs: () => {
    const planner = new IpvsPlanner({ options: OPTIONS, nodeName: 'node-a' })
    const context = {
      family: 'IPv4',
      draining: new Set<string>(),
      restoreProgram: 'iptables-restore',
    } as const
    const schedulers = { defaultScheduler: 'rr', unavailable: new Set<string>() }
    return modeOf(
      (wanted) => planner.plan(wanted, schedulers),
      (changes) => ipvsScript(changes, context),
    )
  },
}

describe('a Service with 100,000 endpoints', () => {
  const store = new ClusterStore({ nodeName: 'node-a' })
  const decider = deciderOf()
  let before: Forwarding
  let after: Forwarding

  beforeAll(() => {
    change(store, 'Service', aService('ns/huge').clusterIp('10.96.0.1').port(80).build())
    change(store, 'Service', aService('ns/small').clusterIp('10.96.0.2').port(80).build())
    for (let i = 0; i < SLICES; i++) change(store, 'EndpointSlice', slice(i))
    for (const resource of ['Service', 'EndpointSlice'] as const) store.apply({ type: 'listed', resource })
    before = decider.decide(store.snapshot())
    change(store, 'EndpointSlice', slice(7, false))
    after = decider.decide(store.snapshot())
  }, 60_000)

  test('is known and decided upon with every endpoint, each once', () => {
    const port = before.ports.get('ns/huge:/TCP' as never)
    expect(port?.pools.cluster).toHaveLength(SLICES * PER_SLICE)
    expect(after.ports.get('ns/huge:/TCP' as never)?.pools.cluster).toHaveLength(SLICES * PER_SLICE - 1)
    expect(after.ports.get('ns/small:/TCP' as never)).toBe(before.ports.get('ns/small:/TCP' as never))
  })

  test.each([
    ['iptables', { objects: 10_000, bytes: 30e6, changeBytes: 100_000 }],
    // A pool has 32,768 slots at most, and a change may move all of them.
    ['nftables', { objects: 40_000, bytes: 4e6, changeBytes: 4e6 }],
    ['ipvs', { objects: 110_000, bytes: 10e6, changeBytes: 10_000 }],
  ] as const)(
    'takes a bounded number of kernel objects and bytes in %s mode, and so does one endpoint less',
    (name, most) => {
      const mode = MODES[name]()
      const planned = mode.plan(before)
      let objects = 0
      for (const fragment of planned.values()) objects += fragment.size
      expect(objects).toBeLessThan(most.objects)
      expect(bytesOf(mode.script(diffState(planned, emptyState())))).toBeLessThan(most.bytes)
      const step = diffState(mode.plan(after), planned)
      expect(isEmpty(step)).toBe(false)
      expect(bytesOf(mode.script(step))).toBeLessThan(most.changeBytes)
    },
    60_000,
  )
})

describe('an annotation of a megabyte', () => {
  const HUGE = 'x'.repeat(MEGABYTE)

  test.each(['fairlead.io/on-endpoint-removal', 'fairlead.io/weights', 'somebody.else/last-applied'])(
    'as %s leaves nothing of its size in what is known, decided or told',
    (annotation) => {
      const store = new ClusterStore({ nodeName: 'node-a' })
      const service = aService('ns/web').clusterIp('10.96.0.1').port(80).build()
      const metadata = { ...(service['metadata'] as object), annotations: { [annotation]: HUGE } }
      change(store, 'Service', { ...service, metadata })
      const slice = aSlice('ns/web').port(8080).endpoint('10.244.0.5').annotation(annotation, HUGE)
      change(store, 'EndpointSlice', slice.build())
      const snapshot = store.snapshot()
      const known = JSON.stringify([
        [...snapshot.families.IPv4.servicePorts],
        [...snapshot.families.IPv4.endpoints],
        store.rejections(),
      ])
      expect(snapshot.families.IPv4.servicePorts.size).toBe(1)
      expect(known.length).toBeLessThan(5_000)
      const decided = deciderOf().decide(snapshot)
      expect(JSON.stringify([...decided.ports]).length).toBeLessThan(5_000)
    },
  )

  test('on each of 50 Services does not add up', () => {
    const store = new ClusterStore({ nodeName: 'node-a' })
    const atFirst = heapAfterCollection()
    for (let i = 0; i < 50; i++) {
      const service = aService(`ns/web-${i}`)
        .clusterIp(`10.96.0.${i + 1}`)
        .port(80)
        .build()
      const annotations = { 'fairlead.io/weights': `${i}${HUGE}`, other: `${i}${HUGE}` }
      const text = JSON.stringify({
        ...service,
        metadata: { ...(service['metadata'] as object), annotations },
      })
      change(store, 'Service', JSON.parse(text))
      store.snapshot()
    }
    expect(store.snapshot().families.IPv4.servicePorts.size).toBe(50)
    expect(store.rejections().length).toBe(50)
    expect(heapAfterCollection() - atFirst).toBeLessThan(20 * MEGABYTE)
  })
})
