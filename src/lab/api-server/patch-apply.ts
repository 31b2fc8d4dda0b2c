/**
 * Server-side apply as create-or-merge: what a manager applies is merged into the object, and what the same manager
 * applied before and no longer does is taken out. Conflicts between managers are not detected.
 */
import { type Field, modelNamed } from './api-models.ts'
import { arrayOrEmpty, isArray, isObject, type Json, jsonEqual, type JsonObject } from './json.ts'
import { isSameElement, type Keys } from './merge-lists.ts'

/** The live object with one manager's configuration in it; `before` is what the manager applied last. */
export function applyConfiguration(
  live: JsonObject,
  versions: { readonly before: JsonObject; readonly applied: JsonObject },
  model: string,
): JsonObject {
  return merged(withoutAbandoned(live, versions, model), versions.applied, model)
}

function fieldOf(model: string | undefined, key: string): Field | undefined {
  return model === undefined ? undefined : modelNamed(model)?.get(key)
}

function merged(live: JsonObject, applied: JsonObject, model: string | undefined): JsonObject {
  const result: Record<string, Json | undefined> = { ...live }
  for (const [key, value] of Object.entries(applied))
    if (value !== undefined) result[key] = mergedValue(live[key], value, fieldOf(model, key))
  return result
}

function mergedValue(live: Json | undefined, applied: Json, field: Field | undefined): Json {
  if (isObject(applied)) return merged(isObject(live) ? live : {}, applied, field?.type)
  if (!isArray(applied) || field === undefined) return applied
  const present = arrayOrEmpty(live)
  if (field.merge.by === 'set')
    return [...present, ...applied.filter((value) => !present.some((other) => jsonEqual(value, other)))]
  if (field.merge.by !== 'keys') return applied
  const { keys } = field.merge
  let result = present
  for (const item of applied) {
    const index = result.findIndex((element) => isSameElement(keys, element, item))
    const element = index < 0 ? item : mergedValue(result[index], item, { ...field, isList: false })
    result = index < 0 ? [...result, element] : result.with(index, element)
  }
  return result
}

function withoutAbandoned(
  live: JsonObject,
  versions: { readonly before: JsonObject; readonly applied: JsonObject },
  model: string | undefined,
): JsonObject {
  const { before, applied } = versions
  const result: Record<string, Json | undefined> = { ...live }
  for (const [key, old] of Object.entries(before)) {
    const value = live[key]
    const next = applied[key]
    const field = fieldOf(model, key)
    if (next === undefined) Reflect.deleteProperty(result, key)
    else if (isObject(value) && isObject(old) && isObject(next))
      result[key] = withoutAbandoned(value, { before: old, applied: next }, field?.type)
    else if (isArray(value) && isArray(old) && isArray(next) && field?.merge.by === 'keys')
      result[key] = withoutAbandonedElements(
        value,
        { before: old, applied: next },
        {
          keys: field.merge.keys,
          model: field.type,
        },
      )
  }
  return result
}

function withoutAbandonedElements(
  live: readonly Json[],
  versions: { readonly before: readonly Json[]; readonly applied: readonly Json[] },
  how: { readonly keys: Keys; readonly model: string },
): readonly Json[] {
  return live.flatMap((element) => {
    const old = versions.before.find((item) => isSameElement(how.keys, item, element))
    const next = versions.applied.find((item) => isSameElement(how.keys, item, element))
    if (old === undefined) return [element]
    if (next === undefined) return []
    if (!isObject(element) || !isObject(old) || !isObject(next)) return [element]
    return [withoutAbandoned(element, { before: old, applied: next }, how.model)]
  })
}
