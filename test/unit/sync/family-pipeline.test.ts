import { ForwardingDecider } from '../../../src/forwarding/decide-forwarding.ts'
import { ClusterStore } from '../../../src/model/cluster-store.ts'
import { FamilyPipeline } from '../../../src/sync/family-pipeline.ts'
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

test('FamilyPipeline reads the kernel anew every hour', async () => {
  const clock = new ManualClock()
  const backend = new MemoryBackend()
  const decider = new ForwardingDecider(OPTIONS)
  const snapshot = new ClusterStore({ nodeName: 'node' }).snapshot()
  const ignore = (): void => undefined
  const pipeline = new FamilyPipeline({
    ...{ family: 'IPv4', backend, clock, random: () => 1, maxPauseMs: 1000 },
    snapshot: () => snapshot,
    decide: (current) => decider.decide(current),
    onSynced: () => Promise.resolve(),
    ...{ onFailure: ignore, onDrift: ignore, onProbeFailure: ignore, onRefusal: ignore },
  })
  const stop = new AbortController()
  const running = pipeline.start(stop.signal)
  pipeline.request()
  await clock.settle()
  const before = backend.observations
  pipeline.request()
  await clock.advance(1000)
  expect(backend.observations).toBe(before)
  await clock.advance(3_600_000)
  expect(backend.observations).toBe(before + 1)
  stop.abort()
  await running
})
