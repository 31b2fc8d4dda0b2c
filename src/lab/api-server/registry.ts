/**
 * The verbs of the API over the store: what HTTP requests, controllers and in-process callers all go through.
 * Every call either returns the stored result or throws an ApiError and changes nothing.
 */
import { randomUUID } from 'node:crypto'
import { type Clock } from '../../runtime/clock.ts'
import { type Admission } from './admission.ts'
import { type ApiObject, keyOf, objectKey, timestamp, withMetadata } from './api-object.ts'
import { jsonEqual, type Json } from './json.ts'
import { type ObjectRef } from './object-ref.ts'
import { NAMESPACES, PODS, type ResourceDefinition, RESOURCES } from './resources.ts'
import { everything, type ObjectFilter } from './selectors.ts'
import { alreadyExists, badRequest, conflict, notFound } from './status-errors.ts'
import { type Store, StoredObject } from './store.ts'

export interface WriteOptions {
  /** Only answer what would be stored. */
  readonly dryRun?: boolean
  readonly subresource?: 'status' | undefined
}

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number | undefined
  readonly uid?: string | undefined
  readonly resourceVersion?: string | undefined
  readonly dryRun?: boolean
}

export interface DeleteResult {
  readonly object: ApiObject
  /** False while finalizers or a grace period keep the object. */
  readonly removed: boolean
}

export interface RegistryOptions {
  readonly store: Store
  readonly admission: Admission
  readonly clock: Clock
  /** Pods stay for their grace period until their kubelet deletes them with grace period zero. */
  readonly gracefulPods: boolean
}

export class Registry {
  readonly #store: Store
  readonly #admission: Admission
  readonly #clock: Clock
  readonly #gracefulPods: boolean

  constructor(options: RegistryOptions) {
    this.#store = options.store
    this.#admission = options.admission
    this.#clock = options.clock
    this.#gracefulPods = options.gracefulPods
  }

  find(ref: ObjectRef): StoredObject | undefined {
    return this.#store.get(ref.definition, objectKey(ref.namespace, ref.name))
  }

  get(ref: ObjectRef): StoredObject {
    const entry = this.find(ref)
    if (entry === undefined) throw notFound(ref.definition, ref.name)
    return entry
  }

  create(definition: ResourceDefinition, object: ApiObject, options: WriteOptions = {}): StoredObject {
    const named = withGeneratedName(object)
    if (named.metadata.name === '') throw badRequest('name or generateName is required')
    if (this.#store.get(definition, keyOf(named)) !== undefined)
      throw alreadyExists(definition, named.metadata.name)
    const admitted = this.#admission.admitCreate(definition, this.#withIdentity(definition, named))
    if (options.dryRun === true) return new StoredObject(admitted, this.#store.revision)
    return this.#commit(definition, admitted, undefined)
  }

  /** Stores objects without looking whether their namespace exists; replaces what is there. For set-up, not clients. */
  load(definition: ResourceDefinition, object: ApiObject): void {
    const previous = this.#store.get(definition, keyOf(object))
    const admitted = this.#admission.admitLoaded(definition, this.#withIdentity(definition, object))
    this.#commit(definition, admitted, previous?.object)
  }

  /**
   * Replaces an object. With a resourceVersion in it the replacement is refused (409) unless it is the current one.
   * Without a difference nothing is stored and the current version is the answer.
   */
  update(ref: ObjectRef, object: ApiObject, options: WriteOptions = {}): StoredObject {
    const previous = this.get(ref)
    checkIdentity(ref, object, previous.object)
    const { definition } = ref
    const merged = carriedOver(definition, { previous: previous.object, next: object }, options.subresource)
    const admitted = this.#admission.admitUpdate(definition, merged, previous.object)
    if (jsonEqual(admitted, previous.object)) return previous
    const next = countGeneration(definition, admitted, previous.object)
    if (options.dryRun === true) return new StoredObject(next, previous.revision)
    if (isReleased(next)) {
      this.#removeNow(definition, next)
      return new StoredObject(next, this.#store.revision)
    }
    return this.#commit(definition, next, previous.object)
  }

  /** Computes the next version from the current one and stores it. */
  modify(
    ref: ObjectRef,
    change: (current: ApiObject) => ApiObject,
    options: WriteOptions = {},
  ): StoredObject {
    return this.update(ref, change(this.get(ref).object), options)
  }

  delete(ref: ObjectRef, options: DeleteOptions = {}): DeleteResult {
    const { object } = this.get(ref)
    checkPreconditions(ref, object, options)
    const grace = this.#gracePeriod(ref.definition, object, options)
    const kept = grace > 0 || (object.metadata.finalizers ?? []).length > 0
    if (options.dryRun === true) return { object, removed: !kept }
    if (kept) return { object: this.#markDeleted(ref.definition, object, grace), removed: false }
    if (ref.definition === NAMESPACES) this.#emptyNamespace(ref.name)
    this.#removeNow(ref.definition, object)
    return { object, removed: true }
  }

  /** Deletes everything that the filter lets through; the result is what it was. */
  deleteCollection(
    definition: ResourceDefinition,
    range: { readonly namespace?: string | undefined; readonly filter?: ObjectFilter },
    options: DeleteOptions = {},
  ): readonly StoredObject[] {
    const { namespace, filter = everything } = range
    const doomed = this.#store.list(definition, namespace).filter((entry) => filter(entry.object))
    for (const { object } of doomed) {
      const ref = { definition, namespace: object.metadata.namespace, name: object.metadata.name }
      this.delete(ref, options)
    }
    return doomed
  }

  #commit(definition: ResourceDefinition, next: ApiObject, previous: ApiObject | undefined): StoredObject {
    this.#admission.track(definition, previous, next)
    return this.#store.put(definition, next)
  }

  #removeNow(definition: ResourceDefinition, lastVersion: ApiObject): void {
    this.#admission.track(definition, lastVersion, undefined)
    this.#store.remove(definition, keyOf(lastVersion), lastVersion)
  }

  #withIdentity(definition: ResourceDefinition, object: ApiObject): ApiObject {
    return withMetadata(object, {
      uid: object.metadata.uid ?? randomUUID(),
      creationTimestamp: object.metadata.creationTimestamp ?? timestamp(this.#clock.now()),
      generation: object.metadata.generation ?? (definition.countsGenerations ? 1 : undefined),
    })
  }

  #gracePeriod(definition: ResourceDefinition, object: ApiObject, options: DeleteOptions): number {
    if (definition !== PODS || !this.#gracefulPods) return 0
    const spec = object['spec'] as { nodeName?: string; terminationGracePeriodSeconds?: number } | undefined
    if (spec?.nodeName === undefined || spec.nodeName === '') return 0
    return options.gracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? 30
  }

  /** A second deletion may shorten the grace period, but never lengthen it. */
  #markDeleted(definition: ResourceDefinition, object: ApiObject, grace: number): ApiObject {
    const { deletionTimestamp, deletionGracePeriodSeconds = 0 } = object.metadata
    if (deletionTimestamp !== undefined && deletionGracePeriodSeconds <= grace) return object
    const marked = withMetadata(object, {
      deletionTimestamp: timestamp(this.#clock.now() + grace * 1000),
      deletionGracePeriodSeconds: grace,
    })
    return this.#commit(definition, marked, object).object
  }

  #emptyNamespace(namespace: string): void {
    for (const definition of RESOURCES)
      if (definition.namespaced && definition.storedAs === undefined)
        this.deleteCollection(definition, { namespace }, { gracePeriodSeconds: 0 })
  }
}

const NAME_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789'

/** Five characters as the API server appends to `generateName`. */
export function randomSuffix(): string {
  const bytes = randomUUID().replaceAll('-', '')
  return [0, 1, 2, 3, 4]
    .map((i) => NAME_ALPHABET[Number.parseInt(bytes.slice(i * 2, i * 2 + 2), 16) % NAME_ALPHABET.length])
    .join('')
}

function withGeneratedName(object: ApiObject): ApiObject {
  const { name, generateName } = object.metadata
  if (name !== '' || generateName === undefined) return object
  return withMetadata(object, { name: `${generateName}${randomSuffix()}` })
}

function checkIdentity(ref: ObjectRef, next: ApiObject, previous: ApiObject): void {
  const { name, resourceVersion, uid } = next.metadata
  if (name !== ref.name)
    throw badRequest(`the name of the object (${name}) does not match the name on the URL (${ref.name})`)
  if (uid !== undefined && uid !== previous.metadata.uid)
    throw conflict(
      ref.definition,
      name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${previous.metadata.uid ?? ''}`,
    )
  if (
    resourceVersion !== undefined &&
    resourceVersion !== '' &&
    resourceVersion !== previous.metadata.resourceVersion
  )
    throw conflict(ref.definition, name)
}

function checkPreconditions(ref: ObjectRef, object: ApiObject, options: DeleteOptions): void {
  const { uid, resourceVersion } = options
  if (uid !== undefined && uid !== object.metadata.uid)
    throw conflict(
      ref.definition,
      ref.name,
      `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${object.metadata.uid ?? ''}`,
    )
  if (resourceVersion !== undefined && resourceVersion !== object.metadata.resourceVersion)
    throw conflict(
      ref.definition,
      ref.name,
      `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${object.metadata.resourceVersion ?? ''}`,
    )
}

/** The replacement with what a client cannot change: identity, and the half that belongs to the other subresource. */
function carriedOver(
  definition: ResourceDefinition,
  versions: { readonly previous: ApiObject; readonly next: ApiObject },
  subresource: 'status' | undefined,
): ApiObject {
  const { previous, next } = versions
  const { uid, resourceVersion, creationTimestamp, generation, namespace } = previous.metadata
  const { deletionTimestamp, deletionGracePeriodSeconds } = previous.metadata
  const fixed: Record<string, Json | undefined> = { uid, resourceVersion, creationTimestamp, generation }
  const identified = withMetadata(next, {
    ...fixed,
    namespace,
    deletionTimestamp,
    deletionGracePeriodSeconds,
  })
  if (subresource === 'status')
    return withStatus({ ...previous, metadata: identified.metadata }, next['status'])
  return definition.subresources.includes('status') ? withStatus(identified, previous['status']) : identified
}

function withStatus(object: ApiObject, status: Json | undefined): ApiObject {
  const { status: _replaced, ...rest } = object
  return status === undefined ? rest : { ...rest, status }
}

function countGeneration(definition: ResourceDefinition, next: ApiObject, previous: ApiObject): ApiObject {
  if (!definition.countsGenerations) return next
  const content = ({ metadata: _metadata, status: _status, ...rest }: ApiObject): Json => rest
  if (jsonEqual(content(next), content(previous))) return next
  return withMetadata(next, { generation: (previous.metadata.generation ?? 0) + 1 })
}

/** Deleted, and the last finalizer has gone. */
function isReleased(object: ApiObject): boolean {
  const { deletionTimestamp, deletionGracePeriodSeconds = 0, finalizers = [] } = object.metadata
  return deletionTimestamp !== undefined && deletionGracePeriodSeconds === 0 && finalizers.length === 0
}
