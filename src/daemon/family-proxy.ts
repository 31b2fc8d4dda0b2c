/** Everything that one IP family needs to be proxied: decider, backend, pipeline, flows, health-check ports. */
import type { Backend, BackendOptions, LocalDetector } from '../backends/backend.ts'
import type { Config } from '../config/config.ts'
import { ForwardingDecider } from '../forwarding/decide-forwarding.ts'
import { ServiceHealth } from '../health/service-health.ts'
import { Conntrack } from '../kernel/conntrack.ts'
import type { Exec } from '../kernel/exec.ts'
import type { ClusterSnapshot } from '../model/cluster-snapshot.ts'
import { slicedDiff, type KernelObject } from '../netfilter/kernel-state.ts'
import type { Cidr } from '../net/cidr.ts'
import type { Family } from '../net/ip.ts'
import type { Clock } from '../runtime/clock.ts'
import { inSlices } from '../runtime/in-slices.ts'
import { ownTurn } from '../runtime/own-turn.ts'
import { type Logger, silentLogger } from '../runtime/logger.ts'
import { FamilyPipeline, type SyncReport } from '../sync/family-pipeline.ts'
import { FlowReconciler } from '../sync/flow-reconciler.ts'
import { planInSlices } from '../sync/plan-in-slices.ts'
import { type NftablesView, createBackend, createInspector } from './create-backend.ts'
import { HealthChecks } from './health-checks.ts'
import { localDetector } from './local-detector.ts'
import { Predecessors, predecessorsOf } from './predecessors.ts'
import type { ProxyObserver } from './proxy-observer.ts'
import { Substitutions } from './substitutions.ts'

/** Kinds of objects that can only be changed by replacing all that is in them. */
const WHOLES: ReadonlySet<string> = new Set(['table', 'container', 'set'])

export interface FamilyProxyOptions {
  readonly family: Family
  readonly config: Config
  readonly nodeName: string
  /** The Node's own pod networks; matter with detect-local mode NodeCIDR alone. */
  readonly podCidrs: readonly Cidr[]
  readonly snapshot: () => ClusterSnapshot | undefined
  readonly isHealthy: () => boolean
  readonly exec: Exec
  readonly nftables: NftablesView | undefined
  /** Resolves when all families have tried to program the kernel. */
  readonly firstRound: Promise<unknown>
  readonly clock: Clock
  readonly log: Logger
  readonly observer: Required<ProxyObserver>
}

export class FamilyProxy {
  readonly family: Family
  readonly decider: ForwardingDecider
  readonly pipeline: FamilyPipeline<KernelObject>
  readonly #options: FamilyProxyOptions
  readonly #flows: FlowReconciler
  readonly #health: ServiceHealth
  readonly #predecessors: Predecessors
  readonly #substitutions: Substitutions
  readonly #healthChecks = new HealthChecks()

  private constructor(options: FamilyProxyOptions, parts: FamilyParts) {
    this.#options = options
    this.family = options.family
    this.decider = parts.decider
    this.pipeline = parts.pipeline(this)
    this.#flows = parts.flows
    this.#health = parts.health
    this.#predecessors = parts.predecessors
    this.#substitutions = new Substitutions(this.pipeline.backend, options.observer.onSubstitution)
  }

  /** Throws `KernelError` when the host lacks what the mode needs in this family. Writes nothing. */
  static async create(options: FamilyProxyOptions): Promise<FamilyProxy> {
    const { family, config, clock, observer, exec, nodeName, log, snapshot, nftables } = options
    const wiring = { config, options: backendOptions(options), exec, log, nodeName, nftables }
    const backend = await createBackend(wiring)
    const decider = new ForwardingDecider(deciderOptions(options))
    const shared = { family, clock, random: Math.random }
    const pipeline = (self: FamilyProxy): FamilyPipeline<KernelObject> =>
      new FamilyPipeline({
        ...shared,
        backend,
        snapshot,
        decide: (current) => decider.decide(current, clock.monotonic()),
        maxPauseMs: config.sync.minSyncPeriodMs,
        onSynced: async (report) => self.#synced(report),
        onFailure: observer.onSyncFailed,
        onDrift: observer.onDrift,
        onProbeFailure: (_family, error) => log.debug({ family, err: error }, 'Cannot look for drift'),
        onRefusal: observer.onRefusal,
      })
    const flows = new FlowReconciler({
      ...shared,
      table: new Conntrack(exec),
      onDeleted: (deleted, tookMs) => observer.onFlowsDeleted(family, deleted, tookMs),
      onFailure: (error) => observer.onFlowsFailed(family, error),
    })
    const health = new ServiceHealth({
      ...{ family, isProxyHealthy: options.isHealthy, clock, logger: log },
      onFailure: observer.onHealthCheckClosed,
    })
    const { firstRound } = options
    const predecessors = new Predecessors({
      ...{ ...shared, log, firstRound },
      predecessors: await predecessorsOf(wiring),
    })
    return new FamilyProxy(options, { decider, pipeline, flows, health, predecessors })
  }

  get healthCheckPorts(): ServiceHealth['ports'] {
    return this.#health.ports
  }

  /** How pods are told from everybody else. */
  get detector(): LocalDetector | undefined {
    return backendOptions(this.#options).detector
  }

  /**
   * A second backend for looking at the kernel: what the one at work believes and remembers is not touched by it.
   * Throws `KernelError`.
   */
  async inspector(): Promise<Backend<KernelObject>> {
    const { config, exec, nodeName } = this.#options
    const options = backendOptions(this.#options)
    return createInspector({ config, options, exec, log: silentLogger, nodeName })
  }

  /**
   * Whether programming this snapshot would only add to what the kernel has: neither take anything of ours away, nor
   * change what a Service has already. Throws `KernelError`.
   */
  async onlyAdds(snapshot: ClusterSnapshot, signal: AbortSignal): Promise<boolean> {
    const forwarding = new ForwardingDecider(deciderOptions(this.#options)).decide(snapshot)
    const inspector = await this.inspector()
    const want = await planInSlices(inspector, forwarding, undefined)
    const { updated, removed } = await inSlices(slicedDiff(want, await inspector.observe(signal)))
    if (removed.length > 0) return false
    const changed = new Set(updated.map(({ to }) => to))
    for (const [name, fragment] of want)
      for (const object of fragment.values())
        if (changed.has(object) && (name.startsWith('port ') || WHOLES.has(object.kind))) return false
    return true
  }

  /** Something may have changed. */
  request(): void {
    this.#options.observer.onQueued(this.family)
    this.pipeline.request()
  }

  /** Runs until the signal is aborted; never rejects. What is in the kernel stays there. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.pipeline.start(signal),
      this.#flows.start(signal),
      this.#slowStart(signal),
      this.#predecessors.run(signal),
    ])
    await this.#health.stop()
  }

  /** Each part looks at every port that changed, so after a large step each has a turn of the event loop to itself. */
  async #synced(report: SyncReport): Promise<void> {
    this.#options.observer.onSynced(report)
    this.#predecessors.synced()
    await ownTurn()
    this.#flows.consider(report.forwarding)
    await ownTurn()
    this.#substitutions.synced(report.forwarding)
    await ownTurn()
    const snapshot = this.#options.snapshot()
    if (snapshot === undefined) return
    const { ports, localReady } = this.#healthChecks.state(snapshot, report.forwarding)
    const { nodePorts } = report.forwarding.node
    void this.#health.syncServices(ports, nodePorts.scope === 'all' ? 'all' : nodePorts.ips)
    this.#health.syncEndpoints(localReady)
  }

  /** Weights of new endpoints grow without any change of the cluster. */
  async #slowStart(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    while (!signal.aborted) {
      await clock.sleep(1000, signal).catch(() => undefined)
      const dueMs = this.decider.nextChangeMs()
      if (dueMs !== undefined && dueMs <= clock.monotonic()) this.pipeline.request()
    }
  }
}

/** What decides how a family is proxied. */
export type FamilyChoices = Pick<FamilyProxyOptions, 'config' | 'family' | 'podCidrs'>

interface FamilyParts {
  readonly decider: ForwardingDecider
  readonly pipeline: (self: FamilyProxy) => FamilyPipeline<KernelObject>
  readonly flows: FlowReconciler
  readonly health: ServiceHealth
  readonly predecessors: Predecessors
}

export function backendOptions({ config, family, podCidrs }: FamilyChoices): BackendOptions {
  return {
    family,
    detector: localDetector(config.detectLocal, family, podCidrs),
    masqueradeMark: (1 << config.masqueradeBit) >>> 0,
    dropInvalid: !config.conntrack.tcpBeLiberal,
    nodePortRange: config.nodePortRange,
  }
}

export function deciderOptions({ config, family, podCidrs }: FamilyChoices) {
  return {
    family,
    hasDetector: localDetector(config.detectLocal, family, podCidrs) !== undefined,
    masqueradeAll: config.masqueradeAll,
    nodePortAddresses: config.nodePortAddresses,
    localhostNodePorts: config.localhostNodePorts,
    externalIpCidrs: config.allowExternalIps ? config.externalIpCidrs : [],
  }
}
