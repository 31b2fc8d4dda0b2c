/**
 * The server's memory: objects by resource and key, one revision counter, and the recent changes.
 *
 * Every change is one event. Listeners get events in order and never nested: a change made by a listener is stored at
 * once but told after the current event has reached everybody, so that all watchers see one order.
 */
import { type ApiObject, keyOf, withMetadata } from './api-object.ts'
import { type ResourceDefinition, storageOf } from './resources.ts'

export type EventType = 'ADDED' | 'MODIFIED' | 'DELETED'

/** One version of an object, with its JSON text made once and on demand. */
export class StoredObject {
  readonly object: ApiObject
  readonly revision: number
  #body: string | undefined

  constructor(object: ApiObject, revision: number) {
    this.object = object
    this.revision = revision
  }

  /** The JSON text without `kind` and `apiVersion`, as items of a list appear. */
  get body(): string {
    if (this.#body === undefined) {
      const { apiVersion: _apiVersion, kind: _kind, ...rest } = this.object
      this.#body = JSON.stringify(rest)
    }
    return this.#body
  }
}

export interface StoreEvent {
  readonly type: EventType
  readonly definition: ResourceDefinition
  readonly revision: number
  /** For DELETED the last version, with the revision of the deletion. */
  readonly entry: StoredObject
  readonly previous: StoredObject | undefined
}

export type StoreListener = (event: StoreEvent) => void

export interface StoreOptions {
  /** The revision before the first change. */
  readonly firstRevision: number
  /** How many events are kept for watches that resume. */
  readonly historyLimit: number
}

class Collection {
  readonly entries = new Map<string, StoredObject>()
  #sortedKeys: string[] | undefined

  set(key: string, entry: StoredObject): void {
    if (!this.entries.has(key) && this.#sortedKeys !== undefined)
      this.#sortedKeys.splice(lowerBound(this.#sortedKeys, key), 0, key)
    this.entries.set(key, entry)
  }

  delete(key: string): void {
    this.entries.delete(key)
    this.#sortedKeys?.splice(lowerBound(this.#sortedKeys, key), 1)
  }

  get keys(): readonly string[] {
    this.#sortedKeys ??= [...this.entries.keys()].sort()
    return this.#sortedKeys
  }

  /** Bulk changes: the order is made again at the next list instead of once per object. */
  forgetOrder(): void {
    this.#sortedKeys = undefined
  }
}

export class Store {
  readonly #collections = new Map<string, Collection>()
  readonly #listeners = new Set<StoreListener>()
  readonly #historyLimit: number
  readonly #undelivered: StoreEvent[] = []
  #history: StoreEvent[] = []
  #revision: number
  #compactedRevision: number
  #delivering = false

  constructor(options: StoreOptions) {
    this.#revision = options.firstRevision
    this.#compactedRevision = options.firstRevision
    this.#historyLimit = options.historyLimit
  }

  /** The revision of the last change. */
  get revision(): number {
    return this.#revision
  }

  /** Watches can resume from this revision or a later one. */
  get compactedRevision(): number {
    return this.#compactedRevision
  }

  get(definition: ResourceDefinition, key: string): StoredObject | undefined {
    return this.#collection(definition).entries.get(key)
  }

  size(definition: ResourceDefinition): number {
    return this.#collection(definition).entries.size
  }

  /** The objects of one namespace or of all, sorted by namespace and name. */
  list(definition: ResourceDefinition, namespace?: string): StoredObject[] {
    const { entries, keys } = this.#collection(definition)
    const [from, to] =
      namespace === undefined
        ? [0, keys.length]
        : [lowerBound(keys, `${namespace}/`), lowerBound(keys, `${namespace}0`)]
    const found: StoredObject[] = []
    for (let i = from; i < to; i++) {
      const entry = entries.get(keys[i] ?? '')
      if (entry !== undefined) found.push(entry)
    }
    return found
  }

  /** Stores a new object or a new version; the result carries the new resourceVersion. */
  put(definition: ResourceDefinition, object: ApiObject): StoredObject {
    const key = keyOf(object)
    const collection = this.#collection(definition)
    const previous = collection.entries.get(key)
    const entry = this.#nextVersion(object)
    collection.set(key, entry)
    this.#record({
      type: previous === undefined ? 'ADDED' : 'MODIFIED',
      definition: storageOf(definition),
      revision: entry.revision,
      entry,
      previous,
    })
    return entry
  }

  /** Removes an object; `lastVersion` is what watchers get to see (by default the stored one). */
  remove(definition: ResourceDefinition, key: string, lastVersion?: ApiObject): void {
    const collection = this.#collection(definition)
    const previous = collection.entries.get(key)
    if (previous === undefined) return
    collection.delete(key)
    const entry = this.#nextVersion(lastVersion ?? previous.object)
    this.#record({
      type: 'DELETED',
      definition: storageOf(definition),
      revision: entry.revision,
      entry,
      previous,
    })
  }

  /** Announces a bulk load: cheaper than keeping the order of keys while thousands arrive. */
  beginBulk(): void {
    for (const collection of this.#collections.values()) collection.forgetOrder()
  }

  /** The events of a resource after a revision; `undefined` if some of them are no longer kept. */
  eventsSince(definition: ResourceDefinition, revision: number): readonly StoreEvent[] | undefined {
    if (revision < this.#compactedRevision) return undefined
    const wanted = storageOf(definition)
    return this.#history.filter((event) => event.revision > revision && event.definition === wanted)
  }

  /** Forgets all past events, so that a watch from any earlier revision is answered with 410. */
  compact(): void {
    this.#history = []
    this.#compactedRevision = this.#revision
  }

  /** Calls the listener for each event from now on; the result ends that. */
  subscribe(listener: StoreListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #collection(definition: ResourceDefinition): Collection {
    const { group, plural } = storageOf(definition)
    const name = `${group}/${plural}`
    let collection = this.#collections.get(name)
    if (collection === undefined) {
      collection = new Collection()
      this.#collections.set(name, collection)
    }
    return collection
  }

  #nextVersion(object: ApiObject): StoredObject {
    this.#revision++
    return new StoredObject(withMetadata(object, { resourceVersion: `${this.#revision}` }), this.#revision)
  }

  #record(event: StoreEvent): void {
    this.#history.push(event)
    // Trimming in large steps keeps the cost per event constant.
    if (this.#history.length > this.#historyLimit * 1.25) {
      const dropped = this.#history.splice(0, this.#history.length - this.#historyLimit)
      this.#compactedRevision = dropped.at(-1)?.revision ?? this.#compactedRevision
    }
    this.#undelivered.push(event)
    if (!this.#delivering) this.#deliver()
  }

  #deliver(): void {
    this.#delivering = true
    try {
      for (let event = this.#undelivered.shift(); event !== undefined; event = this.#undelivered.shift())
        for (const listener of this.#listeners) listener(event)
    } finally {
      this.#delivering = false
    }
  }
}

/** The index of the first key that is not before `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((keys[middle] ?? '') < key) low = middle + 1
    else high = middle
  }
  return low
}
