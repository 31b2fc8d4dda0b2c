/**
 * Everything that can be told to monitoring, as methods that say what happened. Numbers are computed by the caller from
 * results; times are milliseconds here and seconds in the metrics.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Registry } from 'prom-client'
import type { BackendName } from '../backends/backend.ts'
import type { Family } from '../net/ip.ts'
import { metricsOf } from './metric-table.ts'
import { MetricSet } from './metric-set.ts'
import { ProcessMetrics } from './process-metrics.ts'

export interface SyncFacts {
  readonly family: Family
  readonly durationMs: number
  /** The run began by reading the kernel. */
  readonly observed: boolean
  /** Time since the epoch at the end of the run. */
  readonly atMs: number
  readonly created: number
  readonly updated: number
  readonly removed: number
  readonly scriptBytes: number
  /** From the arrival of the oldest change in this run to its end; `undefined` when nothing had changed. */
  readonly queueToKernelMs?: number | undefined
  /** From the trigger times in the EndpointSlices to the end of the run. */
  readonly programmingMs?: readonly number[]
}

export interface SyncFailure {
  readonly family: Family
  readonly durationMs: number
  readonly observed: boolean
  /** `KernelError.code`, or one word for anything else. */
  readonly code: string
}

export interface ApiRequest {
  /** What was meant: `list`, `watch`, `get`, `create`. */
  readonly verb: string
  readonly host: string
  /** HTTP status, or `error` when there was no answer. */
  readonly code: string
  readonly durationMs: number
}

export interface ServiceConnections {
  readonly namespace: string
  readonly service: string
  readonly family: Family
  readonly count: number
}

export interface BuildInfo {
  /** `0.1.0` */
  readonly version: string
  readonly commit?: string
  readonly platform: string
  readonly runtime: string
}

export interface ProxyMetricsOptions {
  readonly mode: BackendName
  readonly build: BuildInfo
  readonly featureGates: Readonly<Record<string, boolean>>
  /** Stage of a gate (`ALPHA`, `BETA`, `DEPRECATED`, or empty), for the label. */
  readonly stageOf?: (gate: string) => string
  /** The runtime's histogram of how late timers are, in nanoseconds from its resolution on. */
  readonly monitorLag?: typeof monitorEventLoopDelay
}

/** How often it is looked whether this process is late: each look wakes it, also when nothing happens. */
const LAG_EVERY_MS = 100

/** Series of `fairlead_service_connections`; what is smaller is summed up. */
const MOST_SERVICES = 1000

export class ProxyMetrics {
  readonly registry = new Registry()
  readonly #mode: BackendName
  readonly #set: MetricSet
  readonly #process: ProcessMetrics
  readonly #lag: ReturnType<typeof monitorEventLoopDelay>

  constructor(options: ProxyMetricsOptions) {
    this.#mode = options.mode
    this.#set = new MetricSet(this.registry, options.mode)
    this.#lag = (options.monitorLag ?? monitorEventLoopDelay)({ resolution: LAG_EVERY_MS })
    this.#process = new ProcessMetrics(this.registry)
    this.#describeProgram(options)
  }

  /** Begins to measure how late this process is; ends with the signal. */
  start(signal: AbortSignal): void {
    this.#lag.enable()
    signal.addEventListener('abort', () => this.#lag.disable(), { once: true })
  }

  /** The exposition text. */
  async text(): Promise<string> {
    this.#measureProcess()
    return this.registry.metrics()
  }

  get contentType(): string {
    return this.registry.contentType
  }

  recordQueued(family: Family, atMs: number): void {
    this.#set.set('lastQueued', atMs / 1000, { ip_family: family })
  }

  recordSync(facts: SyncFacts): void {
    const labels = { ip_family: facts.family }
    this.#recordDuration(facts)
    this.#set.set('lastSync', facts.atMs / 1000, labels)
    for (const change of ['created', 'updated', 'removed'] as const)
      this.#set.add('changes', facts[change], { change, ...labels })
    this.#set.add('scriptBytes', facts.scriptBytes, labels)
    if (facts.queueToKernelMs !== undefined)
      this.#set.observe('queueToKernel', facts.queueToKernelMs / 1000, labels)
    for (const ms of facts.programmingMs ?? []) this.#set.observe('programmingDuration', ms / 1000, labels)
  }

  recordSyncFailure(failure: SyncFailure): void {
    const labels = { ip_family: failure.family }
    this.#recordDuration(failure)
    this.#set.add('failures', 1, { code: failure.code, ...labels })
    this.#set.add('restoreFailures', 1, labels)
    if (!failure.observed) this.#set.add('partialRestoreFailures', 1, labels)
    this.#set.add('nftablesSyncFailures', 1, labels)
  }

  /** Removing left-overs failed (mode nftables). */
  recordCleanupFailure(family: Family): void {
    this.#set.add('nftablesCleanupFailures', 1, { ip_family: family })
  }

  /** Somebody else changed our objects; they are as they should be again. */
  recordDriftRepair(family: Family, durationMs: number): void {
    this.#set.add('driftRepairs', 1, { ip_family: family })
    this.#set.observe('driftRepairDuration', durationMs / 1000, { ip_family: family })
  }

  recordChanges(changes: { readonly services?: number; readonly endpointSlices?: number }): void {
    this.#set.add('serviceChanges', changes.services ?? 0)
    this.#set.add('endpointChanges', changes.endpointSlices ?? 0)
  }

  /** Changes that wait for a run. */
  setPending(pending: { readonly services: number; readonly endpointSlices: number }): void {
    this.#set.set('serviceChangesPending', pending.services)
    this.#set.set('endpointChangesPending', pending.endpointSlices)
  }

  setNoLocalEndpoints(
    family: Family,
    counts: { readonly internal: number; readonly external: number },
  ): void {
    for (const policy of ['internal', 'external'] as const)
      this.#set.set('noLocalEndpoints', counts[policy], { traffic_policy: policy, ip_family: family })
  }

  /** Rules of ours in one iptables table. */
  setIptablesRules(family: Family, table: 'filter' | 'nat', total: number): void {
    this.#set.set('iptablesRules', total, { table, ip_family: family })
  }

  /** How many rules of one iptables table the last run wrote. */
  setWrittenRules(family: Family, table: 'filter' | 'nat', written: number): void {
    this.#set.set('iptablesRulesLast', written, { table, ip_family: family })
  }

  /** Packet counters of rules, as totals. */
  setPacketTotals(totals: { readonly invalidDropped: number }): void {
    this.#set.addUpTo('invalidDropped', totals.invalidDropped)
  }

  recordHealthAnswer(path: '/healthz' | '/livez', status: number): void {
    this.#set.add(path === '/healthz' ? 'healthz' : 'livez', 1, { code: String(status) })
  }

  /** One look for stale flows; `deleted` by protocol. */
  recordConntrack(
    family: Family,
    facts: { readonly durationMs: number; readonly deleted: Readonly<Record<string, number>> },
  ): void {
    this.#set.observe('conntrackDuration', facts.durationMs / 1000, { ip_family: family })
    for (const [protocol, count] of Object.entries(facts.deleted)) {
      this.#set.add('conntrackDeleted', count, { ip_family: family })
      this.#set.add('staleFlows', count, { protocol, ip_family: family })
    }
  }

  setConntrackFill(entries: number, limit: number): void {
    this.#set.set('conntrackEntries', entries)
    this.#set.set('conntrackLimit', limit)
  }

  recordApiRequest(request: ApiRequest): void {
    const method = request.verb.toLowerCase() === 'create' ? 'POST' : 'GET'
    const code = request.code === 'error' ? '<error>' : request.code
    this.#set.add('apiRequests', 1, { code, method, host: request.host })
    this.#set.observe('apiRequestDuration', request.durationMs / 1000, { verb: method, host: request.host })
  }

  recordApiRetry(request: { readonly verb: string; readonly host: string; readonly code: string }): void {
    this.#set.add('apiRequestRetries', 1, request)
  }

  recordApiBytes(bytes: { readonly host: string; readonly count: number }): void {
    this.#set.add('apiBytes', bytes.count, { host: bytes.host })
  }

  /** The state of one watch. */
  setApiState(
    resource: string,
    state: { readonly inSync: boolean; readonly lastContactMs?: number | undefined },
  ): void {
    this.#set.set('apiInSync', Number(state.inSync), { resource })
    if (state.lastContactMs !== undefined)
      this.#set.set('apiLastContact', state.lastContactMs / 1000, { resource })
  }

  setProgrammedFromDisk(fromDisk: boolean): void {
    this.#set.set('programmedFromDisk', Number(fromDisk))
  }

  /** How many there are of a kind: `service_port`, `endpoint`, or a kind of kernel object. */
  setObjects(family: Family, counts: Readonly<Record<string, number>>): void {
    for (const [kind, count] of Object.entries(counts))
      this.#set.set('objects', count, { kind, ip_family: family })
  }

  setRefused(counts: Readonly<Record<string, number>>): void {
    for (const [kind, count] of Object.entries(counts)) this.#set.set('refused', count, { kind })
  }

  /** A complete new list; the largest are shown one by one. */
  setServiceConnections(services: readonly ServiceConnections[]): void {
    this.#set.clear('serviceConnections')
    const sorted = [...services].sort((a, b) => b.count - a.count)
    for (const { namespace, service, family, count } of sorted.slice(0, MOST_SERVICES))
      this.#set.set('serviceConnections', count, { namespace, service, ip_family: family })
    for (const family of ['IPv4', 'IPv6'] as const) {
      const rest = sorted.slice(MOST_SERVICES).filter((one) => one.family === family)
      const count = rest.reduce((sum, one) => sum + one.count, 0)
      if (rest.length > 0)
        this.#set.set('serviceConnections', count, { namespace: '', service: 'others', ip_family: family })
    }
  }

  recordEvent(outcome: 'sent' | 'failed' | 'left_out'): void {
    this.#set.add('events', 1, { outcome })
  }

  recordConfigReload(outcome: 'applied' | 'refused', times = 1): void {
    this.#set.add('configReloads', times, { outcome })
  }

  setHealthCheckPorts(family: Family, ports: { readonly open: number; readonly failed: number }): void {
    this.#set.set('healthCheckPorts', ports.open, { state: 'open', ip_family: family })
    this.#set.set('healthCheckPorts', ports.failed, { state: 'failed', ip_family: family })
  }

  #recordDuration({
    family,
    durationMs,
    observed,
  }: {
    family: Family
    durationMs: number
    observed: boolean
  }): void {
    const labels = { ip_family: family }
    this.#set.observe('syncDuration', durationMs / 1000, labels)
    this.#set.observe(observed ? 'fullSyncDuration' : 'partialSyncDuration', durationMs / 1000, labels)
  }

  #describeProgram({ build, featureGates, stageOf }: ProxyMetricsOptions): void {
    const [major = '', minor = ''] = build.version.split('.')
    this.#set.set('buildInfo', 1, {
      major,
      minor,
      git_version: `v${build.version}`,
      git_commit: build.commit ?? '',
      git_tree_state: '',
      build_date: '',
      go_version: '',
      compiler: `node ${build.runtime}`,
      platform: build.platform,
    })
    for (const [name, enabled] of Object.entries(featureGates))
      this.#set.set('featureEnabled', Number(enabled), { name, stage: stageOf?.(name) ?? '' })
    const registered = metricsOf(this.#mode).length
    this.#set.add('registeredMetrics', registered, { stability_level: 'ALPHA', deprecated_version: '' })
  }

  /** What is measured at the moment of a scrape. */
  #measureProcess(): void {
    this.#process.measure()
    const { rss, heapUsed, heapTotal, external } = process.memoryUsage()
    const memory = { resident: rss, heap_used: heapUsed, heap_total: heapTotal, external }
    for (const [kind, bytes] of Object.entries(memory)) this.#set.set('memory', bytes, { kind })
    const lagNs = { 0.5: this.#lag.percentile(50), 0.99: this.#lag.percentile(99), 1: this.#lag.max }
    // The histogram counts from its resolution on: a process that is never late shows that much.
    for (const [quantile, ns] of Object.entries(lagNs))
      this.#set.set('eventLoopLag', Math.max(0, ns / 1e6 - LAG_EVERY_MS) / 1000, { quantile })
    this.#lag.reset()
  }
}
