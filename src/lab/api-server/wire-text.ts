/** Objects and lists as the bytes of an answer, reusing the text that each stored version keeps. */
import { type ApiObject } from './api-object.ts'
import { apiVersionOf, type ResourceDefinition } from './resources.ts'
import { type EventType, type StoredObject } from './store.ts'

/** The object as the given resource presents it. */
export function presented(definition: ResourceDefinition, entry: StoredObject): ApiObject {
  return definition.storedAs?.present(entry.object) ?? entry.object
}

/** The JSON text of one object. */
export function objectText(definition: ResourceDefinition, entry: StoredObject): string {
  if (definition.storedAs !== undefined) return JSON.stringify(presented(definition, entry))
  const { kind, apiVersion } = entry.object
  return `{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},${entry.body.slice(1)}`
}

export interface ListMeta {
  readonly revision: number
  readonly continueToken?: string | undefined
  readonly remaining?: number | undefined
}

/** The JSON text of a list; items carry no kind and apiVersion, as the API server sends them. */
export function listText(
  definition: ResourceDefinition,
  entries: readonly StoredObject[],
  meta: ListMeta,
): string {
  const metadata = JSON.stringify({
    resourceVersion: `${meta.revision}`,
    continue: meta.continueToken,
    remainingItemCount: meta.remaining,
  })
  const items = entries.map((entry) =>
    definition.storedAs === undefined ? entry.body : objectText(definition, entry),
  )
  return `{"kind":"${definition.kind}List","apiVersion":"${apiVersionOf(definition)}","metadata":${metadata},"items":[${items.join(',')}]}`
}

export function watchFrame(type: EventType, definition: ResourceDefinition, entry: StoredObject): string {
  return `{"type":"${type}","object":${objectText(definition, entry)}}\n`
}

/** A bookmark; `initialEventsEnd` marks the end of the objects that existed when the watch began. */
export function bookmarkFrame(
  definition: ResourceDefinition,
  revision: number,
  options: { readonly initialEventsEnd: boolean },
): string {
  const annotations = options.initialEventsEnd ? { 'k8s.io/initial-events-end': 'true' } : undefined
  const object = {
    kind: definition.kind,
    apiVersion: apiVersionOf(definition),
    metadata: { resourceVersion: `${revision}`, creationTimestamp: null, annotations },
  }
  return `${JSON.stringify({ type: 'BOOKMARK', object })}\n`
}
