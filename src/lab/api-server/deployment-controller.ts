/**
 * Runs Deployments without ReplicaSets: their Pods belong to them directly and carry a hash of the template. A changed
 * template replaces Pods one after another: one more than wanted is started, and when it is ready an old one ends.
 */
import { createHash } from 'node:crypto'
import { type ApiObject, keyOf, objectKey, specOf } from './api-object.ts'
import { deploymentStatus } from './deployment-status.ts'
import { type ControllerParts } from './endpoint-slice-controller.ts'
import { type JsonObject, objectOrEmpty, valueAt } from './json.ts'
import { refTo } from './object-ref.ts'
import { isPodReady } from './pod-summary.ts'
import { DEPLOYMENTS, PODS } from './resources.ts'
import { type StoreEvent } from './store.ts'
import { WorkQueue } from './work-queue.ts'

export const TEMPLATE_HASH = 'pod-template-hash'

/** The Pods of a Deployment by what it wants of them; those that are being deleted count as none of these. */
interface OwnedPods {
  readonly current: readonly ApiObject[]
  readonly outdated: readonly ApiObject[]
  readonly ending: readonly ApiObject[]
}

export class DeploymentController {
  readonly #parts: ControllerParts
  readonly #queue: WorkQueue
  readonly #podsByOwner = new Map<string, Set<string>>()

  constructor(parts: ControllerParts) {
    this.#parts = parts
    this.#queue = new WorkQueue(
      (key) => {
        this.#reconcile(key)
      },
      (error, key) => {
        parts.log.warn({ err: error, deployment: key }, 'Cannot carry out a Deployment')
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

  #follow({ definition, type, entry, previous }: StoreEvent): void {
    const { object } = entry
    if (definition === DEPLOYMENTS) {
      if (type === 'DELETED') this.#deletePods(object)
      else this.#queue.add(keyOf(object))
      return
    }
    if (definition !== PODS) return
    const owner = [object, previous?.object]
      .flatMap((version) => version?.metadata.ownerReferences ?? [])
      .find((reference) => reference.kind === 'Deployment')
    if (owner === undefined) return
    const pods = this.#podsByOwner.get(owner.uid) ?? new Set()
    this.#podsByOwner.set(owner.uid, pods)
    if (type === 'DELETED') pods.delete(keyOf(object))
    else pods.add(keyOf(object))
    this.#queue.add(objectKey(object.metadata.namespace, owner.name))
  }

  #reconcile(key: string): void {
    const deployment = this.#parts.store.get(DEPLOYMENTS, key)?.object
    if (deployment === undefined) return
    const hash = templateHash(deployment)
    const pods = this.#ownedPods(deployment, hash)
    const replicas = Number(specOf(deployment)['replicas'] ?? 1)
    const isRecreate = valueAt(specOf(deployment), ['strategy', 'type']) === 'Recreate'
    const { create, remove } = isRecreate ? recreate(pods, replicas) : roll(pods, replicas)
    for (const pod of remove) this.#parts.registry.delete(refTo(PODS, pod))
    for (let i = 0; i < create; i++) this.#parts.registry.create(PODS, podOf(deployment, hash))
    this.#writeStatus(deployment, hash)
  }

  #ownedPods(deployment: ApiObject, hash: string): OwnedPods {
    const keys = this.#podsByOwner.get(deployment.metadata.uid ?? '') ?? []
    const pods = [...keys].flatMap((key) => this.#parts.store.get(PODS, key)?.object ?? [])
    const ended = ({ metadata }: ApiObject) => metadata.deletionTimestamp !== undefined
    const active = pods.filter((pod) => !ended(pod))
    return {
      current: active.filter((pod) => pod.metadata.labels?.[TEMPLATE_HASH] === hash),
      outdated: active.filter((pod) => pod.metadata.labels?.[TEMPLATE_HASH] !== hash),
      ending: pods.filter(ended),
    }
  }

  #writeStatus(deployment: ApiObject, hash: string): void {
    const { current, outdated } = this.#ownedPods(deployment, hash)
    const status = deploymentStatus(deployment, { current, outdated, now: this.#parts.clock.now() })
    const ref = refTo(DEPLOYMENTS, deployment)
    this.#parts.registry.modify(ref, (object) => ({ ...object, status }), { subresource: 'status' })
  }

  #deletePods(deployment: ApiObject): void {
    const { uid = '' } = deployment.metadata
    for (const key of this.#podsByOwner.get(uid) ?? []) {
      const pod = this.#parts.store.get(PODS, key)?.object
      if (pod !== undefined) this.#parts.registry.delete(refTo(PODS, pod))
    }
    this.#podsByOwner.delete(uid)
  }
}

interface Step {
  readonly create: number
  readonly remove: readonly ApiObject[]
}

function roll({ current, outdated }: OwnedPods, replicas: number): Step {
  const total = current.length + outdated.length
  if (outdated.length === 0) {
    const surplus = [...current].sort(firstToGo).slice(0, Math.max(0, total - replicas))
    return { create: Math.max(0, replicas - total), remove: surplus }
  }
  const ready = [...current, ...outdated].filter(isPodReady).length
  const broken = outdated.filter((pod) => !isPodReady(pod))
  // An outdated Pod may go if it serves nobody, or if enough others do.
  const spare = ready > replicas ? outdated.slice(0, 1) : []
  const remove = broken.length > 0 ? broken : spare
  const room = replicas + 1 - (total - remove.length)
  return { create: Math.max(0, Math.min(1, room, replicas - current.length)), remove }
}

function recreate({ current, outdated, ending }: OwnedPods, replicas: number): Step {
  const isClear = outdated.length + ending.length === 0
  const surplus = [...current].sort(firstToGo).slice(0, Math.max(0, current.length - replicas))
  return {
    create: isClear ? Math.max(0, replicas - current.length) : 0,
    remove: [...outdated, ...surplus],
  }
}

/** Pods that are not ready first, then the youngest. */
function firstToGo(a: ApiObject, b: ApiObject): number {
  const order = Number(isPodReady(a)) - Number(isPodReady(b))
  return order === 0 ? Number(b.metadata.resourceVersion) - Number(a.metadata.resourceVersion) : order
}

/** Ten digits that change with the template. */
function templateHash(deployment: ApiObject): string {
  const text = JSON.stringify(specOf(deployment)['template'] ?? {})
  return createHash('sha256').update(text).digest('hex').slice(0, 10)
}

function podOf(deployment: ApiObject, hash: string): ApiObject {
  const template = objectOrEmpty(specOf(deployment)['template'])
  const { labels, annotations } = objectOrEmpty(template['metadata'])
  const { name, namespace = '', uid = '' } = deployment.metadata
  const extra: JsonObject = annotations === undefined ? {} : { annotations }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...extra,
      name: '',
      generateName: `${name}-${hash}-`,
      namespace,
      labels: { ...(objectOrEmpty(labels) as Record<string, string>), [TEMPLATE_HASH]: hash },
      ownerReferences: [
        { apiVersion: 'apps/v1', kind: 'Deployment', name, uid, controller: true, blockOwnerDeletion: true },
      ],
    },
    spec: objectOrEmpty(template['spec']),
  }
}
