/** Lists and watch events as Tables (meta.k8s.io/v1): what `kubectl get` prints. */
import { type ApiObject } from './api-object.ts'
import { type Json, type JsonObject, withoutUndefined } from './json.ts'
import { type ResourceDefinition } from './resources.ts'
import { type EventType, type StoredObject } from './store.ts'
import { columnsOf } from './table-columns.ts'
import { type FrameRenderer } from './watch-hub.ts'
import { type ListMeta, presented } from './wire-text.ts'

export class TableRenderer implements FrameRenderer {
  readonly format: string
  readonly #now: number
  readonly #includeObject: string

  /** `includeObject` is the query parameter: `None`, `Metadata` or `Object`. */
  constructor(now: number, includeObject: string) {
    this.#now = now
    this.#includeObject = includeObject
    this.format = `table ${includeObject}`
  }

  text(definition: ResourceDefinition, entries: readonly StoredObject[], meta: ListMeta): string {
    return JSON.stringify(this.#table(definition, entries, meta))
  }

  render(type: EventType, definition: ResourceDefinition, entry: StoredObject): string {
    const object = this.#table(definition, [entry], { revision: entry.revision })
    return `${JSON.stringify({ type, object })}\n`
  }

  #table(definition: ResourceDefinition, entries: readonly StoredObject[], meta: ListMeta): JsonObject {
    const columns = columnsOf(definition)
    return {
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      metadata: withoutUndefined({
        resourceVersion: `${meta.revision}`,
        continue: meta.continueToken,
        remainingItemCount: meta.remaining,
      }),
      columnDefinitions: columns.map(({ name, wide }) => ({
        name,
        type: 'string',
        format: name === 'Name' ? 'name' : '',
        description: '',
        priority: wide ? 1 : 0,
      })),
      rows: entries.map((entry) => ({
        cells: columns.map(({ cell }) => cell(entry.object, this.#now)),
        ...this.#included(presented(definition, entry)),
      })),
    }
  }

  #included(object: ApiObject): { readonly object?: Json } {
    if (this.#includeObject === 'None') return {}
    if (this.#includeObject === 'Object') return { object }
    return {
      object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata },
    }
  }
}
