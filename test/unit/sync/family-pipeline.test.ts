import { ForwardingDecider } from '../../../src/forwarding/decide-forwarding.ts'
import { ClusterStore } from '../../../src/model/cluster-store.ts'
import { FamilyPipeline, type SyncReport } from '../../../src/sync/family-pipeline.ts'
import type { ApiObject } from '../../conformance/conformance-case.ts'
import { aService } from '../../support/builders.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { MemoryBackend } from '../../support/memory-backend.ts'

const OPTIONS = {
  family: 'IPv4',
  hasDetector: true,
  masqueradeAll: false,
  nodePortAddresses: 'all',
  localhostNodePorts: false,
  externalIpCidrs: undefined,
} as const

const ignore = (): void => undefined

function setUp(services: readonly ApiObject[] = []) {
  const clock = new ManualClock()
  const backend = new MemoryBackend()
  const decider = new ForwardingDecider(OPTIONS)
  const store = new ClusterStore({ nodeName: 'node' })
  store.apply({ type: 'page', resource: 'Service', first: true, objects: services })
  const snapshot = store.snapshot()
  const decided: number[] = []
  const reports: SyncReport[] = []
  const pipeline = new FamilyPipeline({
    ...{ family: 'IPv4', backend, clock, random: () => 1, maxPauseMs: 1000 },
    snapshot: () => snapshot,
    decide: (current) => {
      decided.push(current.families.IPv4.servicePorts.size)
      return decider.decide(current)
    },
    onSynced: (report) => {
      reports.push(report)
      return Promise.resolve()
    },
    ...{ onFailure: ignore, onDrift: ignore, onProbeFailure: ignore, onRefusal: ignore },
  })
  return { clock, backend, pipeline, decided, reports }
}

async function run(
  pipeline: { start: (signal: AbortSignal) => Promise<void>; request: () => void },
  clock: ManualClock,
): Promise<() => Promise<void>> {
  const stop = new AbortController()
  const running = pipeline.start(stop.signal)
  pipeline.request()
  await clock.settle()
  return async () => {
    stop.abort()
    await running
  }
}

test('FamilyPipeline programs kubernetes and cluster DNS at a cold start before it decides the rest', async () => {
  const others = Array.from({ length: 20 }, (_, i) => aService(`ns/s${i}`).clusterIp(`10.96.1.${i}`).port(53))
  const { clock, backend, pipeline, decided, reports } = setUp(
    [
      ...others,
      aService('default/kubernetes').clusterIp('10.96.0.1').port(443),
      aService('kube-system/kube-dns').clusterIp('10.96.0.10').port(53, { protocol: 'UDP' }).port(9153),
    ].map((builder) => builder.build()),
  )
  const decidedAtWrite: number[][] = []
  backend.beforeWrite = () => {
    decidedAtWrite.push([...decided])
    return undefined
  }
  const stop = await run(pipeline, clock)
  expect(backend.writes[0]!.set.map(([key]) => key).sort()).toEqual([
    'default/kubernetes:/TCP',
    'kube-system/kube-dns:/TCP',
    'kube-system/kube-dns:/UDP',
  ])
  expect(decidedAtWrite).toEqual([[3], [3, 23]])
  expect(reports).toMatchObject([{ created: 23, observed: true }])
  expect(backend.observations).toBe(1)
  await stop()
})

test('FamilyPipeline reads the kernel anew every hour', async () => {
  const { clock, backend, pipeline } = setUp()
  const stop = await run(pipeline, clock)
  const before = backend.observations
  pipeline.request()
  await clock.advance(1000)
  expect(backend.observations).toBe(before)
  await clock.advance(3_600_000)
  expect(backend.observations).toBe(before + 1)
  await stop()
})
