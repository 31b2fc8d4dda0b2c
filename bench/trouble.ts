/** The exercises: what clients notice while the cluster, the proxy or the API server is in trouble. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bed } from './bed.ts'
import { changed } from './cluster.ts'
import { measureChanges, observeChange } from './control-plane.ts'
import { cpuOf, type CpuMs, cpuSince, memoryOf } from './process-cost.ts'
import { RunningProxy } from './proxy.ts'
import { CHURN, type Exercise, ROLLING, type Scenario } from './scenarios.ts'
import { type Summary, summarize } from './statistics.ts'
import type { Subject } from './subjects.ts'

/** Addresses that the background changes use; those that are observed use others. */
const BACKGROUND_ADDRESSES = 100_000
const OUTAGE_MS = 5000
const RESTARTS = 5

export interface TroubleFigures {
  /** From a change in the API, or from the end of an outage or the start of a process, to the new endpoint. */
  readonly follows: Summary
  /** Connections that failed while clients watched. */
  readonly failed: number
  /** Per second of the exercise; `undefined` when the process did not live through it. */
  readonly cpuPerSecond: CpuMs | undefined
  readonly residentMb: number
  readonly peakMb: number
}

interface Running {
  readonly bed: Bed
  readonly subject: Subject
  readonly proxy: RunningProxy
}

/** Resolves to the figures and the proxy that runs in the end. */
export async function measureTrouble(
  running: Running,
  scenario: Scenario,
): Promise<{ proxy: RunningProxy; figures: TroubleFigures }> {
  const exercises: Record<Exclude<Exercise, 'size'>, () => ReturnType<typeof measureTrouble>> = {
    churn: () => underChanges(running, { ...CHURN, count: CHURN.perSecond * CHURN.seconds }),
    rolling: () => underChanges(running, { ...ROLLING, count: ROLLING.pods }),
    restart: () => restarts(running),
    'api-restart': () => apiRestart(running),
  }
  if (scenario.exercise === 'size')
    throw new Error(`Cannot exercise ${scenario.name}: it is about size alone`)
  return exercises[scenario.exercise]()
}

/** Changes are observed one after the other while others go on in the background. */
async function underChanges(
  { bed, proxy }: Running,
  { count, perSecond }: { count: number; perSecond: number },
): Promise<{ proxy: RunningProxy; figures: TroubleFigures }> {
  const before = cpuOf(proxy.pid)
  const startedMs = performance.now()
  let over = false
  const background = bed
    .api('replaceMany', { count, perSecond, first: BACKGROUND_ADDRESSES })
    .finally(() => (over = true))
  const took: number[] = []
  let failed = 0
  const services = Object.values(changed(bed.size))
  while (!over) {
    const observed = await observeChange(bed, services[took.length % services.length] ?? 0)
    took.push(observed.tookMs)
    failed += observed.failed
    await sleep(50)
  }
  await background
  const spent = cpuSince(before, cpuOf(proxy.pid))
  const seconds = (performance.now() - startedMs) / 1000
  const cpuPerSecond = { own: spent.own / seconds, tools: spent.tools / seconds }
  return { proxy, figures: { ...(await summary(proxy, took, failed)), cpuPerSecond } }
}

/** Killed without warning; what it had programmed must answer on, and a change made meanwhile must be seen. */
async function restarts({
  bed,
  subject,
  proxy: first,
}: Running): Promise<{ proxy: RunningProxy; figures: TroubleFigures }> {
  let proxy = first
  const took: number[] = []
  let failed = 0
  for (let n = 0; n < RESTARTS; n++) {
    await proxy.kill('SIGKILL')
    proxy = RunningProxy.start(bed, subject)
    const observed = await observeChange(bed, changed(bed.size).middle)
    took.push(observed.tookMs)
    failed += observed.failed
    await sleep(500)
  }
  return { proxy, figures: { ...(await summary(proxy, took, failed)), cpuPerSecond: undefined } }
}

/** The change is made as soon as the API server is back; counted from then. */
async function apiRestart({
  bed,
  proxy,
}: Running): Promise<{ proxy: RunningProxy; figures: TroubleFigures }> {
  const before = cpuOf(proxy.pid)
  const startedMs = performance.now()
  await bed.api('pause', { ms: OUTAGE_MS })
  const observed = await observeChange(bed, changed(bed.size).middle)
  const spent = cpuSince(before, cpuOf(proxy.pid))
  const seconds = (performance.now() - startedMs) / 1000
  const after = await measureChanges(bed, proxy, 6)
  const cpuPerSecond = { own: spent.own / seconds, tools: spent.tools / seconds }
  const figures = await summary(proxy, [observed.tookMs], observed.failed + after.failed)
  return { proxy, figures: { ...figures, cpuPerSecond } }
}

async function summary(
  proxy: RunningProxy,
  took: readonly number[],
  failed: number,
): Promise<Omit<TroubleFigures, 'cpuPerSecond'>> {
  await sleep(500)
  proxy.assertAlive()
  const { resident, peak } = memoryOf(proxy.pid)
  const follows = summarize(took) ?? { count: 0, p50: 0, p90: 0, p99: 0, max: 0 }
  return { follows, failed, residentMb: resident, peakMb: peak }
}
