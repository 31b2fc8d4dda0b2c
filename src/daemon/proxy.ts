/**
 * The composition root of the daemon: builds everything from a `Config`, starts it, and ends when it is told to.
 * Ending leaves the kernel as it is: Services go on without us.
 */
import { hostname } from 'node:os'
import type { Config } from '../config/config.ts'
import { checkOnNode } from '../config/check-on-node.ts'
import { ConfigError } from '../config/config-error.ts'
import { ProxyHealth } from '../health/proxy-health.ts'
import type { BackendName } from '../backends/backend.ts'
import { EventRecorder } from '../events/event-recorder.ts'
import type { Conflict } from '../forwarding/conflict.ts'
import type { PortForwarding } from '../forwarding/forwarding.ts'
import type { Exec } from '../kernel/exec.ts'
import { ProxyMetrics } from '../metrics/proxy-metrics.ts'
import { KernelError } from '../kernel/kernel-error.ts'
import { readNodeAddresses } from '../kernel/node-addresses.ts'
import { readHostListeners } from '../kernel/host-listeners.ts'
import { Sysctls } from '../kernel/sysctl.ts'
import { ClusterStore } from '../model/cluster-store.ts'
import type { Cidr } from '../net/cidr.ts'
import { type Family, familyOf, type Ip } from '../net/ip.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import { releaseMemory } from '../runtime/release-memory.ts'
import { ApiClient } from '../watch/api-client.ts'
import type { ApiObserver } from '../watch/transport.ts'
import { openCredentials } from '../watch/credentials.ts'
import { StartDoctor } from './doctor/start-doctor.ts'
import { eventsObserver } from './events-observer.ts'
import { metricsObserver } from './metrics-observer.ts'
import { ClusterFeed, REMEMBERED_REVISION } from './cluster-feed.ts'
import { StateKeeper } from './cluster-state.ts'
import { type NftablesView, openNftablesView } from './create-backend.ts'
import { FirstRound } from './first-round.ts'
import { FamilyProxy, type FamilyProxyOptions } from './family-proxy.ts'
import { hostFamilies } from './host-families.ts'
import { watchForeignProxies } from './foreign-proxies.ts'
import { logObserver } from './log-observer.ts'
import { NodePortGuard } from './node-port-guard.ts'
import { type OwnServer, type ProxyObserver, tellAll } from './proxy-observer.ts'
import { ClusterMemory } from './restore-state.ts'
import { startServers } from './servers.ts'

/** How long detect-local mode NodeCIDR waits for the Node to be given its pod networks. */
const POD_CIDRS_TIMEOUT_MS = 300_000

export interface ProxyOptions {
  readonly config: Config
  readonly version: string
  readonly exec: Exec
  readonly clock: Clock
  readonly log: Logger
  readonly env: Readonly<Record<string, string | undefined>>
  /** The configuration in force, as a KubeProxyConfiguration, for /configz. */
  readonly document: object
  /** Flags with their values in force, for /flagz. */
  readonly flags: Readonly<Record<string, string>>
  /** Changes how much is logged while we run. */
  readonly setVerbosity: (level: number) => void
}

export class Proxy {
  readonly nodeName: string
  readonly health: ProxyHealth
  readonly store: ClusterStore
  readonly feed: ClusterFeed
  readonly client: ApiClient
  readonly metrics: ProxyMetrics
  readonly families: FamilyProxy[] = []
  readonly #options: ProxyOptions
  readonly #observers: ProxyObserver[] = []
  readonly #memory: ClusterMemory
  readonly #over = new AbortController()
  #nftables: NftablesView | undefined
  /** The pod networks that packets are judged by; empty unless they are what tells pods. */
  #podNetworks: readonly Cidr[] = []

  /** Throws ConfigError for a configuration that cannot be used. Starts nothing. */
  constructor(options: ProxyOptions) {
    this.#options = options
    const { config, clock, log, version, env } = options
    this.nodeName = nodeNameOf(config)
    const { kubeconfig, apiServers } = config.clientConnection
    const credentials = openCredentials({ kubeconfig, servers: apiServers, clock, logger: log, env })
    this.store = new ClusterStore({ nodeName: this.nodeName, primaryIps: byFamily(config.nodeIpOverride) })
    this.store.setLocalIps(readNodeAddresses())
    this.health = new ProxyHealth({ families: hostFamilies(), timeoutMs: 2 * config.sync.syncPeriodMs })
    this.client = new ApiClient({ credentials, clock, version, observer: this.#apiObserver() })
    this.feed = new ClusterFeed({
      client: this.client,
      store: this.store,
      nodeName: this.nodeName,
      clock,
      log,
      onEvent: (event) => this.#observer().onEvent(event),
      onChange: () => this.#changed(),
    })
    this.#memory = new ClusterMemory({
      ...{ directory: config.stateDir, nodeName: this.nodeName, feed: this.feed, clock, log },
    })
    this.metrics = new ProxyMetrics({
      mode: config.mode,
      build: { version, platform: `${process.platform}/${process.arch}`, runtime: process.version },
      featureGates: config.featureGates,
    })
    this.#observers.push(logObserver(log), this.#healthObserver(), metricsObserver(this.metrics, clock))
  }

  get mode(): BackendName {
    return this.#options.config.mode
  }

  /**
   * Resolves when the signal is aborted, or when the Node's own pod networks are others than those that pods are told by:
   * then it is to be started anew. Rejects with KernelError or ConfigError when it cannot work on this host.
   */
  async run(signal: AbortSignal): Promise<void> {
    const fault = this.#over
    const all = AbortSignal.any([signal, fault.signal])
    const servers = startServers(this, this.#options, all)
    this.metrics.start(all)
    const firstRound = new FirstRound(() => this.families.length, all)
    this.#observers.push(this.#eventsObserver(all), {
      onSynced: (report) => firstRound.onSynced(report),
      onSyncFailed: (family) => firstRound.onSyncFailed(family),
    })
    this.#observers.push(this.#nodePortObserver(all))
    const feed = this.feed.run(all)
    try {
      await this.#createFamilies(firstRound.ended, all)
      if (this.feed.inSync) this.#changed()
      const families = this.families.map(async (family) => family.run(all))
      const { onForeignProxy: onFound } = this.#observer()
      const foreign = watchForeignProxies({ clock: this.#options.clock, onFound }, all)
      const examined = firstRound.ended.then(() => this.#settle(all))
      await Promise.all([
        ...[feed, servers, this.#keepState(all), this.#recall(all), foreign, examined],
        ...families,
      ])
    } finally {
      fault.abort()
      await Promise.allSettled([feed, servers])
      this.#nftables?.tables.close()
      this.#nftables?.elements?.close()
    }
  }

  /** One of our own servers; it goes on trying. */
  cannotListen(server: OwnServer, error: Error): void {
    this.#observer().onCannotListen(server, error)
  }

  async #createFamilies(firstRound: Promise<unknown>, signal: AbortSignal): Promise<void> {
    const { config, exec, clock, log } = this.#options
    const podCidrs = config.detectLocal.mode === 'NodeCIDR' ? await this.#podCidrs(signal) : []
    this.#podNetworks = podCidrs
    const nftables = await openNftablesView()
    this.#nftables = nftables
    const families = hostFamilies()
    if (!families.includes('IPv6'))
      log.info({}, 'IPv6 is left out: this host has none, or it is switched off')
    const created = families.map(async (family) =>
      createFamily({
        ...{ family, config, podCidrs, exec, nftables, firstRound, clock, nodeName: this.nodeName },
        log: log.child({ family }),
        snapshot: () => this.feed.snapshot(),
        isHealthy: () => this.health.isHealthy(clock.now()),
        observer: this.#observer(),
      }),
    )
    this.families.push(...(await Promise.all(created)).filter((family) => family !== undefined))
    this.#checkOnNode(podCidrs)
  }

  #checkOnNode(podCidrs: readonly Cidr[]): void {
    const remarks = checkOnNode(this.#options.config, {
      families: this.families.map(({ family }) => family),
      podCidrs,
    })
    for (const { level, text } of remarks) {
      if (level === 'fatal') throw new ConfigError(text, { code: 'conflict', path: 'configuration' })
      this.#options.log.warn({ text }, 'A setting may not do what is meant')
    }
  }

  async #podCidrs(signal: AbortSignal): Promise<readonly Cidr[]> {
    const { clock } = this.#options
    const deadlineMs = clock.monotonic() + POD_CIDRS_TIMEOUT_MS
    let remembered: readonly Cidr[] = []
    void this.#memory.whenSilent(signal).then((state) => (remembered = state?.node.podCidrs ?? []))
    for (;;) {
      const { podCidrs } = this.store.snapshot().node
      if (podCidrs.length > 0) return podCidrs
      if (remembered.length > 0) return remembered
      if (clock.monotonic() > deadlineMs)
        throw new ConfigError(
          `Cannot recognise pods in mode NodeCIDR: Node "${this.nodeName}" has no spec.podCIDRs after 5 minutes; choose another --detect-local-mode or let the controller manager assign them`,
          { code: 'conflict', path: 'detectLocalMode' },
        )
      await clock.sleep(100, signal)
    }
  }

  /** Stands in for an API server that is silent with what it said last, where that can do no harm. */
  async #recall(signal: AbortSignal): Promise<void> {
    const { log, clock } = this.#options
    const state = await this.#memory.whenSilent(signal)
    if (state === undefined) return
    const { savedMs, node, families } = state
    const { localIps } = this.store.snapshot().node
    const snapshot = { revision: REMEMBERED_REVISION, families, node: { ...node, localIps } }
    const facts = { savedAt: new Date(savedMs).toISOString(), ageMs: clock.now() - savedMs }
    try {
      const adding = this.families.map(async (family) => family.onlyAdds(snapshot, signal))
      if ((await Promise.all(adding)).includes(false)) {
        log.info(
          facts,
          'The API server is silent; the kernel keeps what it has, the state on disk would change it',
        )
        return
      }
    } catch (error) {
      if (!signal.aborted) log.warn({ ...facts, err: error }, 'The cluster state on disk is not used')
      return
    }
    if (this.feed.inSync) return
    log.warn(facts, 'The API server is silent; programming what it said last, from disk')
    this.#observers.push(this.#recallObserver(savedMs))
    this.feed.remember(state)
  }

  /** Tells everybody that what is programmed is remembered, until it is not. */
  #recallObserver(savedMs: number): ProxyObserver {
    const reason = `programmed from the state of ${new Date(savedMs).toISOString()} on disk: the API server has not answered since the start`
    return {
      onSynced: ({ revision }) => {
        const fromDisk = revision === REMEMBERED_REVISION
        this.health.setStale('disk', fromDisk ? reason : undefined)
        this.metrics.setProgrammedFromDisk(fromDisk)
      },
    }
  }

  /** What is left to do when Services work: a look at the node, and giving back what only the start needed. */
  async #settle(signal: AbortSignal): Promise<void> {
    await new StartDoctor(this.#options).run(signal)
    await releaseMemory(this.#options.clock, signal)
  }

  #nodePortObserver(signal: AbortSignal): ProxyObserver {
    const { exec, log } = this.#options
    const guard = new NodePortGuard({
      ...{ sysctls: new Sysctls(exec), listeners: readHostListeners, log, signal },
      onTaken: (port, what) => this.#observer().onNodePortTaken(port, what),
    })
    return { onSynced: ({ forwarding }) => void guard.synced(forwarding) }
  }

  async #keepState(signal: AbortSignal): Promise<void> {
    const { config, clock, log } = this.#options
    if (config.stateDir === undefined) return
    const snapshot = () => (this.feed.inSync ? this.store.snapshot() : undefined)
    const keeper = new StateKeeper({ directory: config.stateDir, snapshot, clock, log })
    this.#observers.push({ onSynced: () => keeper.changed() })
    await keeper.run(signal)
  }

  #changed(): void {
    const { podCidrs } = this.store.snapshot().node
    if (this.#podNetworks.length > 0 && podCidrs.length > 0 && podCidrs.join() !== this.#podNetworks.join()) {
      const facts = { from: this.#podNetworks, to: podCidrs }
      this.#options.log.warn(facts, 'The pod networks of this node changed; starting over with them')
      this.#over.abort()
      return
    }
    this.health.setNodeEligible((this.feed.snapshot() ?? this.store.snapshot()).node.eligible)
    for (const family of this.families) family.request()
  }

  #observer(): Required<ProxyObserver> {
    return tellAll(this.#observers)
  }

  #apiObserver(): ApiObserver {
    return {
      onRequest: (request) => {
        this.metrics.recordApiRequest(request)
        // Whatever reads tries again until it has an answer.
        const { verb, host, code } = request
        const failed = code === 'error' || code === '429' || code.startsWith('5')
        if (failed && verb !== 'create') this.metrics.recordApiRetry({ verb: 'GET', host, code })
      },
      onBytes: (bytes) => this.metrics.recordApiBytes(bytes),
    }
  }

  #eventsObserver(signal: AbortSignal): ProxyObserver {
    const { clock } = this.#options
    const recorder = new EventRecorder({
      sender: this.client,
      clock,
      host: hostname(),
      onOutcome: (outcome) => this.metrics.recordEvent(outcome),
    })
    const about = { kind: 'Node', name: this.nodeName } as const
    recorder.record({ type: 'Normal', reason: 'Starting', action: 'StartKubeProxy', note: '', about }, signal)
    const conflicts = (): readonly Conflict[] => this.families.flatMap(({ decider }) => decider.conflicts())
    const uidOf = ({ family, key }: PortForwarding): string | undefined =>
      this.store.snapshot().families[family].servicePorts.get(key)?.uid
    return eventsObserver({ recorder, nodeName: this.nodeName, conflicts, uidOf, signal })
  }

  #healthObserver(): ProxyObserver {
    const { clock } = this.#options
    return {
      onQueued: (family) => this.health.queued(family, clock.now()),
      onSynced: ({ family }) => this.health.updated(family, clock.now()),
    }
  }
}

/** A family that the host's kernel or tools lack is left out and told; without any family we cannot work. */
async function createFamily(options: FamilyProxyOptions): Promise<FamilyProxy | undefined> {
  try {
    return await FamilyProxy.create(options)
  } catch (error) {
    const isPrimary = options.family === 'IPv4'
    if (!(error instanceof KernelError) || isPrimary) throw error
    options.log.warn({ err: error }, 'This IP family is left out')
    return undefined
  }
}

/** Throws ConfigError. */
export function nodeNameOf(config: Config): string {
  const name = (config.hostnameOverride ?? hostname()).trim().toLowerCase()
  if (name !== '') return name
  const message = 'Cannot tell the name of this node: the host name is empty; write --hostname-override'
  throw new ConfigError(message, { code: 'invalid', path: 'hostnameOverride' })
}

function byFamily(ips: readonly Ip[]): Partial<Record<Family, Ip>> {
  return Object.fromEntries(ips.map((ip) => [familyOf(ip), ip]))
}
