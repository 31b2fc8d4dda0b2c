/** All open watches: what each one wants, and the fan-out of every change to those whom it concerns. */
import { type Clock } from '../../runtime/clock.ts'
import { withMetadata } from './api-object.ts'
import { type ResourceDefinition, storageOf } from './resources.ts'
import { type ObjectFilter } from './selectors.ts'
import { tooOldResourceVersion } from './status-errors.ts'
import { type EventType, type Store, StoredObject, type StoreEvent } from './store.ts'
import { bookmarkFrame, watchFrame } from './wire-text.ts'
import { type WatchConnection } from './watch-connection.ts'

/** Renders one event for a watch; `format` names the rendering, so that equal ones are made once per event. */
export interface FrameRenderer {
  readonly format: string
  render(type: EventType, definition: ResourceDefinition, entry: StoredObject): string
}

export const jsonFrames: FrameRenderer = { format: 'json', render: watchFrame }

export interface WatchQuery {
  readonly definition: ResourceDefinition
  readonly namespace?: string | undefined
  readonly filter: ObjectFilter
  /** Changes after this revision; `undefined`: first everything that exists, then all changes. */
  readonly from: number | undefined
  readonly allowBookmarks: boolean
  /** Send the bookmark that marks the end of the initial objects. */
  readonly markInitialEnd: boolean
  readonly frames: FrameRenderer
}

interface Watcher {
  readonly query: WatchQuery
  readonly connection: WatchConnection
}

/** How many initial objects go into one write. */
const INITIAL_CHUNK = 500

export class WatchHub {
  readonly #store: Store
  readonly #watchers = new Set<Watcher>()
  readonly #paused = new Set<ResourceDefinition>()

  constructor(store: Store) {
    this.#store = store
    store.subscribe((event) => {
      this.#fanOut(event)
    })
  }

  /** Sends bookmarks at an interval until the signal is aborted. */
  async sendBookmarks(options: { clock: Clock; intervalMs: number; signal: AbortSignal }): Promise<void> {
    const { clock, intervalMs, signal } = options
    while (!signal.aborted) {
      try {
        await clock.sleep(intervalMs, signal)
      } catch {
        return
      }
      this.bookmarkAll()
    }
  }

  /** One bookmark to every watch that allows them. */
  bookmarkAll(): void {
    for (const { query, connection } of this.#watchers)
      if (query.allowBookmarks)
        connection.write(bookmarkFrame(query.definition, this.#store.revision, { initialEventsEnd: false }))
  }

  /** Starts a watch and sends what it has missed. The result ends it. Throws a 410 ApiError if that is forgotten. */
  open(query: WatchQuery, connection: WatchConnection): () => void {
    const watcher = { query, connection }
    if (this.#paused.has(storageOf(query.definition))) connection.pause()
    if (query.from === undefined) this.#sendExisting(watcher)
    else this.#sendMissed(watcher, query.from)
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  /** The open watches of one resource, or all. */
  connections(definition?: ResourceDefinition): WatchConnection[] {
    return [...this.#watchers]
      .filter(({ query }) => definition === undefined || storageOf(query.definition) === definition)
      .map(({ connection }) => connection)
  }

  /** Holds back everything for the watches of a resource, including those that are opened later. */
  pause(definition: ResourceDefinition): void {
    this.#paused.add(definition)
    for (const connection of this.connections(definition)) connection.pause()
  }

  resume(definition: ResourceDefinition): void {
    this.#paused.delete(definition)
    for (const connection of this.connections(definition)) connection.resume()
  }

  #sendExisting({ query, connection }: Watcher): void {
    const { definition, namespace, filter, frames } = query
    const existing = this.#store.list(definition, namespace).filter((entry) => filter(entry.object))
    for (let i = 0; i < existing.length; i += INITIAL_CHUNK) {
      const chunk = existing.slice(i, i + INITIAL_CHUNK)
      connection.write(chunk.map((entry) => frames.render('ADDED', definition, entry)).join(''))
    }
    if (query.markInitialEnd)
      connection.write(bookmarkFrame(definition, this.#store.revision, { initialEventsEnd: true }))
  }

  #sendMissed(watcher: Watcher, from: number): void {
    const missed = this.#store.eventsSince(watcher.query.definition, from)
    if (missed === undefined) throw tooOldResourceVersion(from, this.#store.compactedRevision)
    for (const event of missed) this.#tell(watcher, event, new Map())
  }

  #fanOut(event: StoreEvent): void {
    const rendered = new Map<string, Buffer>()
    for (const watcher of this.#watchers)
      if (storageOf(watcher.query.definition) === event.definition) this.#tell(watcher, event, rendered)
  }

  #tell({ query, connection }: Watcher, event: StoreEvent, rendered: Map<string, Buffer>): void {
    const { definition, namespace, from, frames } = query
    if (namespace !== undefined && event.entry.object.metadata.namespace !== namespace) return
    if (from !== undefined && event.revision <= from) return
    const seen = asSeenThrough(query.filter, event)
    if (seen === undefined) return
    const name = `${definition.group} ${frames.format} ${seen.type}`
    let frame = rendered.get(name)
    if (frame === undefined) {
      frame = Buffer.from(frames.render(seen.type, definition, seen.entry))
      rendered.set(name, frame)
    }
    connection.write(frame)
  }
}

/** What an event is for a watch with a selector: an object that enters it is ADDED, one that leaves it DELETED. */
function asSeenThrough(
  filter: ObjectFilter,
  event: StoreEvent,
): { readonly type: EventType; readonly entry: StoredObject } | undefined {
  const before = event.previous !== undefined && filter(event.previous.object)
  const after = event.type !== 'DELETED' && filter(event.entry.object)
  if (after) return { type: before ? 'MODIFIED' : 'ADDED', entry: event.entry }
  if (!before) return undefined
  if (event.type === 'DELETED') return { type: 'DELETED', entry: event.entry }
  // As the API server does: the last version that matched, with the revision of the change that made it leave.
  const object = withMetadata(event.previous.object, { resourceVersion: `${event.revision}` })
  return { type: 'DELETED', entry: new StoredObject(object, event.revision) }
}
