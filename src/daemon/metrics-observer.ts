/** From what the proxy does to the numbers that monitoring reads. Costly numbers are computed when they are asked for. */
import type { RequestListener } from 'node:http'
import type { KernelScript } from '../backends/backend.ts'
import { REMOVE_PURPOSE } from '../backends/nftables/script.ts'
import type { Sliced } from '../collections/sliced.ts'
import { KernelError } from '../kernel/kernel-error.ts'
import type { Family } from '../net/ip.ts'
import type { ProxyMetrics } from '../metrics/proxy-metrics.ts'
import type { ResourceEvent } from '../model/resource-event.ts'
import type { Clock } from '../runtime/clock.ts'
import { inSlices } from '../runtime/in-slices.ts'
import type { SyncReport } from '../sync/family-pipeline.ts'
import { countObjects, countPolicies } from './object-counts.ts'
import type { Proxy } from './proxy.ts'
import type { ProxyObserver } from './proxy-observer.ts'
import { TriggerTimes } from './trigger-times.ts'

/** Set by the EndpointSlice controller: when the Pod or Service changed that made it write the slice. */
export function metricsObserver(metrics: ProxyMetrics, clock: Clock): ProxyObserver {
  const queuedMs = new Map<Family, number>()
  const syncs = new Map<Family, number>()
  const triggers = new TriggerTimes(clock.now())
  const pending = { services: 0, endpointSlices: 0 }
  return {
    onEvent: (event) => {
      countEvent(event, pending, metrics)
      triggers.note(event)
    },
    onQueued: (family) => {
      if (!queuedMs.has(family)) queuedMs.set(family, clock.now())
      metrics.recordQueued(family, clock.now())
    },
    onSynced: (report) => {
      const { family } = report
      const atMs = clock.now()
      const since = queuedMs.get(family)
      queuedMs.delete(family)
      const queueToKernelMs = since === undefined ? undefined : atMs - since
      metrics.recordSync({
        ...factsOf(report),
        atMs,
        queueToKernelMs,
        programmingMs: triggers.take(family, atMs),
      })
      pending.services = pending.endpointSlices = 0
      metrics.setPending(pending)
      // The first text is 15 MB: counted while others have their turns, a next sync among them.
      const sync = (syncs.get(family) ?? 0) + 1
      syncs.set(family, sync)
      const tell = (table: 'filter' | 'nat', written: number): void => {
        if (syncs.get(family) === sync) metrics.setWrittenRules(family, table, written)
      }
      void inSlices(tellWrittenRules(report.steps, tell))
      if (report.repaired !== undefined) metrics.recordDriftRepair(family, report.repaired.tookMs)
    },
    onSyncFailed: (family, error) => {
      const code = error instanceof KernelError ? error.code : 'fault'
      if (isRemoval(error)) metrics.recordCleanupFailure(family)
      metrics.recordSyncFailure({ family, code, durationMs: 0, observed: true })
    },
    onFlowsDeleted: (family, flows, durationMs) => {
      const deleted: Record<string, number> = {}
      for (const { flow } of flows) deleted[flow.protocol] = (deleted[flow.protocol] ?? 0) + 1
      metrics.recordConntrack(family, { durationMs, deleted })
    },
  }
}

/** Brings the numbers up to date that are only looked at when somebody asks. */
export function refreshMetrics(metrics: ProxyMetrics, proxy: Proxy, clock: Clock): void {
  // Reflectors measure on the clock that never jumps; the metric is a time of day.
  const timeOfDay = (ms: number | undefined): number | undefined =>
    ms === undefined ? undefined : clock.now() - (clock.monotonic() - ms)
  for (const [resource, { inSync, lastContactMs }] of proxy.feed.states())
    metrics.setApiState(resource, { inSync, lastContactMs: timeOfDay(lastContactMs) })
  const rejected: Record<string, number> = { ServicePort: 0 }
  for (const { kind } of proxy.store.rejections()) rejected[kind] = (rejected[kind] ?? 0) + 1
  for (const { family, pipeline, healthCheckPorts } of proxy.families) {
    metrics.setHealthCheckPorts(family, healthCheckPorts)
    rejected['ServicePort'] = (rejected['ServicePort'] ?? 0) + pipeline.refused.size
    if (pipeline.forwarding !== undefined)
      metrics.setNoLocalEndpoints(family, countPolicies(pipeline.forwarding))
    const { objects, rules } = countObjects(pipeline)
    metrics.setObjects(family, objects)
    for (const [table, total] of rules) metrics.setIptablesRules(family, table, total)
  }
  metrics.setRefused(rejected)
}

/** Refreshes before each scrape, whoever serves it. `refresh` must not reject. */
export function refreshing(handler: RequestListener, refresh: () => Promise<void>): RequestListener {
  return (request, response) => {
    const fresh = request.url?.startsWith('/metrics') === true ? refresh() : Promise.resolve()
    void fresh.then(() => handler(request, response))
  }
}

/** A few milliseconds of counting. */
const LINES_AT_ONCE = 20_000

const TABLE_OF: ReadonlyMap<string, 'filter' | 'nat'> = new Map([
  ['*filter', 'filter'],
  ['*nat', 'nat'],
])

/** Rules in the input of iptables-restore, by table; zero for a table that was not written. */
function* tellWrittenRules(
  steps: KernelScript,
  tell: (table: 'filter' | 'nat', rules: number) => void,
): Sliced<void> {
  const counts = { filter: 0, nat: 0 }
  let lines = 0
  for (const { file, stdin } of steps) {
    if (!file.includes('restore')) continue
    let table: 'filter' | 'nat' | undefined
    // None of 150,000 lines is cut out to be looked at.
    for (let at = 0; at < stdin.length; at = stdin.indexOf('\n', at) + 1 || stdin.length) {
      if (stdin[at] === '*') table = TABLE_OF.get(stdin.slice(at, stdin.indexOf('\n', at)))
      const isRule = stdin.startsWith('-A ', at) || stdin.startsWith('-I ', at)
      if (isRule && table !== undefined) counts[table]++
      if (++lines % LINES_AT_ONCE === 0) yield
    }
  }
  tell('filter', counts.filter)
  tell('nat', counts.nat)
}

/** nft refused to remove what is no longer needed; what is needed has been written. */
function isRemoval(error: unknown): boolean {
  return error instanceof KernelError && error.message.startsWith(`Cannot ${REMOVE_PURPOSE}`)
}

function factsOf(report: SyncReport) {
  const { family, observed, created, updated, removed, scriptBytes, totalMs } = report
  return { family, observed, created, updated, removed, scriptBytes, durationMs: totalMs }
}

function countEvent(
  event: ResourceEvent,
  pending: { services: number; endpointSlices: number },
  metrics: ProxyMetrics,
): void {
  const count = event.type === 'page' ? event.objects.length : event.type === 'listed' ? 0 : 1
  if (event.resource === 'Service') {
    pending.services += count
    metrics.recordChanges({ services: count })
  } else if (event.resource === 'EndpointSlice') {
    pending.endpointSlices += count
    metrics.recordChanges({ endpointSlices: count })
  }
  metrics.setPending(pending)
}
