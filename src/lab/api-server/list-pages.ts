/** Lists in pages: every page of one list shows the state at the revision of its first page. */
import { type ObjectFilter, everything } from './selectors.ts'
import { type ResourceDefinition, storageOf } from './resources.ts'
import { badRequest, expired } from './status-errors.ts'
import { type Store, type StoredObject } from './store.ts'

export interface ListQuery {
  readonly definition: ResourceDefinition
  readonly namespace?: string | undefined
  readonly filter?: ObjectFilter
  /** Zero or absent: everything in one answer. */
  readonly limit?: number | undefined
  readonly continueToken?: string | undefined
}

export interface ListPage {
  readonly entries: readonly StoredObject[]
  readonly revision: number
  readonly continueToken: string | undefined
  /** How many follow; unknown with a selector, as in the API server. */
  readonly remaining: number | undefined
}

interface Snapshot {
  readonly entries: readonly StoredObject[]
  readonly revision: number
}

/** Unfinished lists that are kept for their next page; the oldest is given up first. */
const KEPT_SNAPSHOTS = 32

export class ListPages {
  readonly #store: Store
  readonly #snapshots = new Map<string, Snapshot>()

  constructor(store: Store) {
    this.#store = store
  }

  /** Throws a 410 ApiError for a token whose list is no longer kept, and 400 for one that is none of ours. */
  page(query: ListQuery): ListPage {
    const { definition, namespace, filter = everything, limit = 0, continueToken } = query
    if (continueToken === undefined || continueToken === '') {
      const entries = this.#store.list(definition, namespace)
      return this.#cut(query, { entries, revision: this.#store.revision }, { start: 0, limit, filter })
    }
    const { revision, start } = decodeToken(continueToken)
    const snapshot = this.#snapshots.get(snapshotName(query, revision))
    if (snapshot === undefined)
      throw expired(
        'The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.',
      )
    return this.#cut(query, snapshot, { start, limit, filter })
  }

  /** Makes every continue token outstanding expire. */
  forget(): void {
    this.#snapshots.clear()
  }

  #cut(
    query: ListQuery,
    snapshot: Snapshot,
    range: { start: number; limit: number; filter: ObjectFilter },
  ): ListPage {
    const { start, limit, filter } = range
    const found: StoredObject[] = []
    let index = start
    while (index < snapshot.entries.length && (limit === 0 || found.length < limit)) {
      const entry = snapshot.entries[index++]
      if (entry !== undefined && filter(entry.object)) found.push(entry)
    }
    const { revision } = snapshot
    const left = snapshot.entries.length - index
    if (left === 0) return { entries: found, revision, continueToken: undefined, remaining: undefined }
    this.#keep(snapshotName(query, revision), snapshot)
    return {
      entries: found,
      revision,
      continueToken: encodeToken(revision, index),
      remaining: filter === everything ? left : undefined,
    }
  }

  #keep(name: string, snapshot: Snapshot): void {
    this.#snapshots.delete(name)
    this.#snapshots.set(name, snapshot)
    const oldest = this.#snapshots.keys().next().value
    if (this.#snapshots.size > KEPT_SNAPSHOTS && oldest !== undefined) this.#snapshots.delete(oldest)
  }
}

function snapshotName(query: ListQuery, revision: number): string {
  const { group, plural } = storageOf(query.definition)
  return `${group}/${plural}/${query.namespace ?? ''}@${revision}`
}

function encodeToken(revision: number, start: number): string {
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: revision, start })).toString('base64url')
}

function decodeToken(token: string): { revision: number; start: number } {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(token, 'base64url').toString())
    if (typeof parsed === 'object' && parsed !== null && 'rv' in parsed && 'start' in parsed) {
      const { rv, start } = parsed
      if (typeof rv === 'number' && typeof start === 'number') return { revision: rv, start }
    }
  } catch {
    // Not base64 of JSON: the same answer as for other foreign tokens.
  }
  throw badRequest('continue key is not valid: it was not made by this server')
}
