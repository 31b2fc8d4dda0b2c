/**
 * Feeds the model: one reflector per resource, and the addresses of this node's interfaces. Everything downstream asks
 * for a snapshot, and gets none before Services and EndpointSlices are both in sync, or a remembered state stands in.
 */
import type { ClusterStore } from '../model/cluster-store.ts'
import type { ClusterSnapshot } from '../model/cluster-snapshot.ts'
import type { ResourceEvent, ResourceKind } from '../model/resource-event.ts'
import { watchNodeAddresses } from '../kernel/node-addresses.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import { createBackoff } from '../sync/backoff.ts'
import type { ApiClient } from '../watch/api-client.ts'
import { RECONNECT_BACKOFF, Reflector, type ReflectorState } from '../watch/reflector.ts'
import type { ClusterState } from './cluster-state-format.ts'
import { endpointSlices, ownNode, serviceCidrs, services } from '../watch/resources.ts'

/** Of every snapshot that is remembered; those from the API server have a higher one. */
export const REMEMBERED_REVISION = 0

export interface ClusterFeedOptions {
  readonly client: ApiClient
  readonly store: ClusterStore
  readonly nodeName: string
  readonly clock: Clock
  readonly log: Logger
  /** Every event, before the model has it. */
  readonly onEvent: (event: ResourceEvent) => void
  /** Something changed and everything needed is in sync. Called often; must be cheap. */
  readonly onChange: (resource: ResourceKind | 'addresses') => void
}

export class ClusterFeed {
  readonly #options: ClusterFeedOptions
  readonly #reflectors: ReadonlyMap<ResourceKind, Reflector>
  readonly #inSync = new Set<ResourceKind>()
  #remembered: ClusterState | undefined

  constructor(options: ClusterFeedOptions) {
    this.#options = options
    const resources = [services, endpointSlices, ownNode(options.nodeName), serviceCidrs]
    const reflector = (resource: (typeof resources)[number]): Reflector =>
      new Reflector({
        resource,
        client: options.client,
        clock: options.clock,
        logger: options.log.child({ resource: resource.plural }),
        backoff: createBackoff({ ...RECONNECT_BACKOFF, random: Math.random }),
        random: Math.random,
        onEvent: (event) => this.#take(event),
      })
    this.#reflectors = new Map(resources.map((resource) => [resource.kind, reflector(resource)]))
  }

  /** Services and EndpointSlices have both been listed completely. Once true it stays true. */
  get inSync(): boolean {
    return this.#inSync.has('Service') && this.#inSync.has('EndpointSlice')
  }

  hasListed(resource: ResourceKind): boolean {
    return this.#inSync.has(resource)
  }

  states(): ReadonlyMap<ResourceKind, ReflectorState> {
    return new Map([...this.#reflectors].map(([kind, reflector]) => [kind, reflector.state]))
  }

  /** What is known of the cluster; until it is in sync, what is remembered, if anything. */
  snapshot(): ClusterSnapshot | undefined {
    const { store } = this.#options
    if (this.inSync) return store.snapshot()
    if (this.#remembered === undefined) return undefined
    const { node, families } = this.#remembered
    const { localIps } = store.snapshot().node
    return { revision: REMEMBERED_REVISION, families, node: { ...node, localIps } }
  }

  /** Lets a remembered state stand in until Services and EndpointSlices are both in sync. */
  remember(state: ClusterState): void {
    this.#remembered = state
    if (!this.inSync) this.#options.onChange('addresses')
  }

  /** Runs until the signal is aborted; rejects only for a fault of the program. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, clock, onChange } = this.#options
    const addresses = watchNodeAddresses(
      (ips) => {
        store.setLocalIps(ips)
        if (this.snapshot() !== undefined) onChange('addresses')
      },
      { clock, signal },
    )
    await Promise.all([
      addresses,
      ...[...this.#reflectors.values()].map(async (reflector) => reflector.run(signal)),
    ])
  }

  #take(event: ResourceEvent): void {
    this.#options.onEvent(event)
    this.#options.store.apply(event)
    if (event.type === 'listed' && !this.#inSync.has(event.resource)) {
      this.#inSync.add(event.resource)
      if (this.inSync) this.#remembered = undefined
      this.#options.log.info({ resource: event.resource }, 'In sync with the API server')
    }
    // Each page is worked in while the next one is under way: no long stop when the list is complete.
    if (event.type === 'page') this.#options.store.snapshot()
    // The pages of a list are one change, told when it is complete.
    if (event.type !== 'page' && this.inSync) this.#options.onChange(event.resource)
  }
}
