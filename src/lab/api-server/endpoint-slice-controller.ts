/**
 * Keeps the EndpointSlices of every Service with a selector equal to its Pods, in the same tick as the change, or a while
 * after the first of several changes of Pods (kube-controller-manager's `--endpoint-updates-batch-period`).
 * Slices that carry another manager's label, or none, are left alone.
 */
import { type Clock } from '../../runtime/clock.ts'
import { type Logger } from '../../runtime/logger.ts'
import { type ApiObject, keyOf, microTimestamp, objectKey } from './api-object.ts'
import { LabelIndex } from './label-index.ts'
import { refTo } from './object-ref.ts'
import { CONTROLLER, MANAGED_BY, planSlices, SERVICE_NAME } from './plan-slices.ts'
import { type Registry } from './registry.ts'
import { ENDPOINT_SLICES, NODES, PODS, SERVICES } from './resources.ts'
import { serviceSpecOf } from './service-spec.ts'
import { endpointGroups } from './slice-endpoints.ts'
import { type Store, type StoreEvent } from './store.ts'
import { WorkQueue } from './work-queue.ts'

const ZONE_LABEL = 'topology.kubernetes.io/zone'

export interface ControllerParts {
  readonly store: Store
  readonly registry: Registry
  readonly clock: Clock
  readonly log: Logger
}

export interface EndpointSliceControllerParts extends ControllerParts {
  /** How long further changes of Pods are waited for; 0: not at all. */
  readonly endpointUpdatesBatchMs: number
}

export class EndpointSliceController {
  readonly #parts: EndpointSliceControllerParts
  /** Services whose Pods have changed a moment ago. */
  readonly #batched = new Set<string>()
  readonly #queue: WorkQueue
  readonly #servicesBySelector = new LabelIndex()
  readonly #podsByLabel = new LabelIndex()
  readonly #slicesByService = new Map<string, Set<string>>()
  /** When the first cause of a pending change came, by Service. */
  readonly #causedAt = new Map<string, number>()

  constructor(parts: EndpointSliceControllerParts) {
    this.#parts = parts
    this.#queue = new WorkQueue(
      (key) => {
        this.#reconcile(key)
      },
      (error, key) => {
        parts.log.warn({ err: error, service: key }, 'Cannot write the EndpointSlices of a Service')
      },
    )
  }

  start(): void {
    this.#parts.store.subscribe((event) => {
      this.#follow(event)
    })
  }

  /** Does now what is pending, instead of at the end of the tick. */
  settle(): void {
    this.#queue.drain()
  }

  #follow(event: StoreEvent): void {
    if (event.definition === PODS) this.#followPod(event)
    else if (event.definition === SERVICES) this.#followService(event)
    else if (event.definition === ENDPOINT_SLICES) this.#followSlice(event)
    else if (event.definition === NODES) this.#followNode(event)
  }

  #followPod(event: StoreEvent): void {
    for (const [object, isCurrent] of versionsOf(event)) {
      const { namespace = '', labels = {} } = object.metadata
      if (isCurrent) this.#podsByLabel.add(namespace, labels, keyOf(object))
      else this.#podsByLabel.remove(namespace, labels, keyOf(object))
      for (const key of this.#servicesBySelector.withAny(namespace, labels)) this.#markSoon(key)
    }
  }

  #followService(event: StoreEvent): void {
    for (const [object, isCurrent] of versionsOf(event)) {
      const { namespace = '' } = object.metadata
      const selector = serviceSpecOf(object).selector ?? {}
      if (isCurrent) this.#servicesBySelector.add(namespace, selector, keyOf(object))
      else this.#servicesBySelector.remove(namespace, selector, keyOf(object))
    }
    this.#mark(keyOf(event.entry.object))
  }

  #followSlice(event: StoreEvent): void {
    for (const [object, isCurrent] of versionsOf(event)) {
      const { namespace, labels = {} } = object.metadata
      const name = labels[SERVICE_NAME]
      if (labels[MANAGED_BY] !== CONTROLLER || name === undefined) continue
      const service = objectKey(namespace, name)
      const slices = this.#slicesByService.get(service) ?? new Set()
      this.#slicesByService.set(service, slices)
      if (isCurrent) slices.add(keyOf(object))
      else slices.delete(keyOf(object))
      this.#mark(service)
    }
  }

  /** A node that moves to another zone moves all its endpoints. */
  #followNode(event: StoreEvent): void {
    const before = event.previous?.object.metadata.labels?.[ZONE_LABEL]
    const after = event.type === 'DELETED' ? undefined : event.entry.object.metadata.labels?.[ZONE_LABEL]
    if (before === after) return
    for (const key of this.#slicesByService.keys()) this.#mark(key)
  }

  #markSoon(key: string): void {
    const { clock, endpointUpdatesBatchMs } = this.#parts
    if (endpointUpdatesBatchMs === 0) {
      this.#mark(key)
      return
    }
    if (!this.#causedAt.has(key)) this.#causedAt.set(key, clock.now())
    if (this.#batched.has(key)) return
    this.#batched.add(key)
    void clock.sleep(endpointUpdatesBatchMs).then(() => {
      this.#batched.delete(key)
      this.#mark(key)
    })
  }

  #mark(key: string): void {
    if (!this.#causedAt.has(key)) this.#causedAt.set(key, this.#parts.clock.now())
    this.#queue.add(key)
  }

  #reconcile(key: string): void {
    const { store, registry, clock } = this.#parts
    const triggerTime = microTimestamp(this.#causedAt.get(key) ?? clock.now())
    this.#causedAt.delete(key)
    const existing = [...(this.#slicesByService.get(key) ?? [])].flatMap(
      (slice) => store.get(ENDPOINT_SLICES, slice)?.object ?? [],
    )
    const service = store.get(SERVICES, key)?.object
    const { created, updated, deleted } =
      service !== undefined && hasSelector(service)
        ? planSlices(service, { groups: this.#groupsOf(service), existing, triggerTime })
        : { created: [], updated: [], deleted: service === undefined ? existing : [] }
    for (const slice of updated) registry.update(refTo(ENDPOINT_SLICES, slice), slice)
    for (const slice of created) registry.create(ENDPOINT_SLICES, slice)
    for (const slice of deleted) registry.delete(refTo(ENDPOINT_SLICES, slice))
    if (service === undefined) this.#slicesByService.delete(key)
  }

  #groupsOf(service: ApiObject): ReturnType<typeof endpointGroups> {
    const { store } = this.#parts
    const { namespace = '' } = service.metadata
    const keys = this.#podsByLabel.withAll(namespace, serviceSpecOf(service).selector ?? {})
    const pods = keys.flatMap((key) => store.get(PODS, key)?.object ?? [])
    return endpointGroups(service, pods, (nodeName) => {
      const node = store.get(NODES, objectKey(undefined, nodeName))
      return node?.object.metadata.labels?.[ZONE_LABEL]
    })
  }
}

function hasSelector(service: ApiObject): boolean {
  const { selector = {}, type } = serviceSpecOf(service)
  return type !== 'ExternalName' && Object.keys(selector).length > 0
}

/** The version that is no longer and the one that is now, in this order. */
function versionsOf(event: StoreEvent): readonly (readonly [object: ApiObject, isCurrent: boolean])[] {
  const { previous, entry, type } = event
  return [
    ...(previous === undefined ? [] : [[previous.object, false] as const]),
    ...(type === 'DELETED' ? [] : [[entry.object, true] as const]),
  ]
}
