/** The control plane's figures of one subject in one bed. Every "works" is a connection that was really answered. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bed } from './bed.ts'
import { changed, clusterIp, neededTargets, PORTS, type Position, probed } from './cluster.ts'
import { cpuOf, type CpuMs, cpuSince, memoryOf, watchTools } from './process-cost.ts'
import type { Target } from './prober.ts'
import { RunningProxy } from './proxy.ts'
import { type Summary, summarize } from './statistics.ts'
import type { Subject } from './subjects.ts'

/** A proxy that has not finished by then is given up. */
const START_TIMEOUT_MS = 900_000
const CHANGE_TIMEOUT_MS = 60_000
/** How many Services tell by their answer that the start is over; a sweep over all of them checks it afterwards. */
const SAMPLE = 64

export interface StartFigures {
  /** From the start of the process until the last of a sample of Services answered. */
  readonly startMs: number
  /** Until it had the whole cluster from the API server; `undefined`: its log does not say so. */
  readonly inSyncMs: number | undefined
  /** Until the Services `kubernetes` and cluster DNS answered. */
  readonly neededMs: number
  /** Until each single Service had been seen to answer: an upper limit, since looking takes time. */
  readonly sweptMs: number
  /** What all that has cost. On a busy machine it tells more than the time. */
  readonly cpu: CpuMs
  /** Largest memory of any tool it ran, sampled. */
  readonly toolPeakMb: number
  /** Longest wait for /healthz while everything was loaded. */
  readonly longestHealthMs: number
  readonly apiBytes: number
  readonly apiRequests: number
}

export interface ChangeFigures {
  /** From the change in the API to the first connection on the new endpoint, milliseconds. */
  readonly change: Summary
  readonly byPosition: Readonly<Record<Position, Summary>>
  readonly cpuPerChange: CpuMs
  /** Connections that failed while watching. */
  readonly failed: number
}

export interface RestFigures {
  /** Percent of one processor, tools included. */
  readonly cpuPercent: number
  readonly residentMb: number
  readonly peakMb: number
}

export function serviceTarget(service: number, port: keyof typeof PORTS = 'tcp'): Target {
  return `${clusterIp(service)}:${PORTS[port].service}`
}

export async function measureStart(
  bed: Bed,
  subject: Subject,
): Promise<{ proxy: RunningProxy; figures: StartFigures }> {
  const { services } = bed.size
  const health = await bed.newProber(bed.node)
  const before = await bed.api('stats', null)
  const proxy = RunningProxy.start(bed, subject)
  const tools = watchTools(proxy.pid)
  const since = (ns: bigint): number => Number(ns - proxy.startedNs) / 1e6
  const healthAnswers = health.askHttp('127.0.0.1:10256', '/livez', Math.min(30_000, 2_000 + services))
  // Nobody waits for it when the proxy ends before the start is over.
  healthAnswers.catch(() => undefined)
  try {
    const sampled = sample(services).map((service) => serviceTarget(service))
    const neededNs = await alive(proxy, bed.prober.untilAllAnswer(neededTargets(bed.size), START_TIMEOUT_MS))
    const lastNs = await alive(proxy, bed.prober.untilAllAnswer(sampled, START_TIMEOUT_MS))
    const all = Array.from({ length: services }, (_, service) => serviceTarget(service))
    const sweptNs = await alive(proxy, bed.prober.untilAllAnswer(all, START_TIMEOUT_MS))
    // By now the tools that loaded everything have ended, which is when the kernel books what they cost.
    const cpu = cpuOf(proxy.pid)
    const api = traffic(before, await bed.api('stats', null))
    const { longestMs } = await healthAnswers
    const figures = {
      ...{ startMs: since(lastNs), neededMs: since(neededNs), sweptMs: since(sweptNs) },
      inSyncMs: inSyncMs(proxy),
      ...{ cpu, toolPeakMb: tools.stop(), longestHealthMs: longestMs, ...api },
    }
    return { proxy, figures }
  } catch (error) {
    tools.stop()
    await proxy.kill('SIGKILL')
    throw error
  } finally {
    await health.stop()
  }
}

/** One after the other; each is waited for. `onChange` is told how many are done. */
export async function measureChanges(
  bed: Bed,
  proxy: RunningProxy,
  count: number,
  onChange: (done: number) => void = () => undefined,
): Promise<ChangeFigures> {
  const services = changed(bed.size)
  const positions = Object.keys(services) as Position[]
  const took: Record<Position, number[]> = { first: [], middle: [], last: [] }
  const before = cpuOf(proxy.pid)
  const startedMs = performance.now()
  let failed = 0
  for (let n = 0; n < count; n++) {
    const position = positions[n % positions.length] ?? 'last'
    const service = services[position]
    const observed = await observeChange(bed, service)
    took[position].push(observed.tookMs)
    failed += observed.failed
    onChange(n + 1)
    // Changes come one by one: what the last one left to do must not delay the next.
    await sleep(Math.min(2000, 20 + 1.5 * observed.tookMs))
  }
  const resting = (await measureRest(proxy, { settleMs: 0, forMs: 2000 })).cpuPercent
  const spent = cpuSince(before, cpuOf(proxy.pid))
  const idle = (resting / 100) * (performance.now() - startedMs)
  return {
    change: summaryOf(Object.values(took).flat()),
    byPosition: {
      first: summaryOf(took.first),
      middle: summaryOf(took.middle),
      last: summaryOf(took.last),
    },
    cpuPerChange: perChange(spent, idle, count),
    failed,
  }
}

/** Replaces one endpoint of a Service and connects until the new one answers. */
export async function observeChange(bed: Bed, service: number): Promise<{ tookMs: number; failed: number }> {
  const { ip, slot } = bed.nextReplacement()
  return bed.prober.untilChanged(
    serviceTarget(service),
    async () => bed.api('replace', { service, slot, ip }),
    { expected: ip, timeoutMs: CHANGE_TIMEOUT_MS },
  )
}

/** `settleMs`: so much later, when what followed from the last change is over. `pause`: how it waits. */
export async function measureRest(
  proxy: Pick<RunningProxy, 'pid' | 'assertAlive'>,
  { settleMs, forMs }: { readonly settleMs: number; readonly forMs: number },
  pause: (ms: number) => Promise<unknown> = sleep,
): Promise<RestFigures> {
  await pause(settleMs)
  const before = cpuOf(proxy.pid)
  const startedMs = performance.now()
  await pause(forMs)
  proxy.assertAlive()
  const spent = cpuSince(before, cpuOf(proxy.pid))
  const { resident, peak } = memoryOf(proxy.pid)
  return {
    cpuPercent: (100 * (spent.own + spent.tools)) / (performance.now() - startedMs),
    residentMb: resident,
    peakMb: peak,
  }
}

/** What the process costs at rest anyway is taken off, in the proportion of the two kinds. */
function perChange(spent: CpuMs, idle: number, count: number): CpuMs {
  const all = spent.own + spent.tools
  const share = all === 0 ? 0 : Math.max(0, all - idle) / all / count
  return { own: spent.own * share, tools: spent.tools * share }
}

function summaryOf(values: readonly number[]): Summary {
  return summarize(values) ?? { count: 0, p50: 0, p90: 0, p99: 0, max: 0 }
}

function inSyncMs(proxy: RunningProxy): number | undefined {
  const lists = ['Service', 'EndpointSlice'].map((resource) =>
    proxy.loggedAtMs('In sync with the API server', `resource=${resource}`),
  )
  return lists.includes(undefined) ? undefined : Math.max(...lists.map((ms) => ms ?? 0))
}

/** Fails as soon as the proxy has ended, instead of waiting for the deadline. */
async function alive<T>(proxy: RunningProxy, work: Promise<T>): Promise<T> {
  const done = new AbortController()
  const watch = async (): Promise<never> => {
    for (;;) {
      await sleep(200, undefined, { signal: done.signal })
      proxy.assertAlive()
    }
  }
  const death = watch()
  // It loses the race when the work is done, and nobody waits for it any more.
  death.catch(() => undefined)
  try {
    return await Promise.race([work, death])
  } finally {
    done.abort()
  }
}

/** First, middle, last, and others evenly between; the order is scattered. */
function sample(services: number): number[] {
  const step = Math.max(1, Math.floor(services / SAMPLE))
  const chosen = new Set(Object.values(probed({ services, endpoints: 1 })))
  for (let n = 0; n < SAMPLE; n++) chosen.add((n * step * 37) % services)
  return [...chosen]
}

type Stats = Readonly<Record<string, { readonly bytesSent: number; readonly requests: number }>>

function traffic(before: Stats, after: Stats): { apiBytes: number; apiRequests: number } {
  const total = (stats: Stats, field: 'bytesSent' | 'requests'): number =>
    Object.values(stats).reduce((sum, client) => sum + client[field], 0)
  return {
    apiBytes: total(after, 'bytesSent') - total(before, 'bytesSent'),
    apiRequests: total(after, 'requests') - total(before, 'requests'),
  }
}
