/** Strategic merge patch: merges lists by the keys of their elements, and obeys the directives `$patch` and friends. */
import { type Field, modelNamed } from './api-models.ts'
import {
  arrayOrEmpty,
  isArray,
  isObject,
  type Json,
  jsonEqual,
  type JsonObject,
  objectOrEmpty,
} from './json.ts'
import { isMeantByPatch, type Keys } from './merge-lists.ts'

const ORDER = '$setElementOrder/'
const DELETIONS = '$deleteFromPrimitiveList/'

/** The target after the patch; `model` names the fields, `undefined` for free-form content. */
export function strategicMergePatch(target: JsonObject, patch: JsonObject, model?: string): JsonObject {
  if (patch['$patch'] === 'replace') return withoutDirectives(patch)
  if (patch['$patch'] === 'delete') return {}
  const result: Record<string, Json | undefined> = { ...retained(target, patch) }
  for (const [key, value] of Object.entries(patch)) {
    if (value === undefined || key.startsWith('$')) continue
    if (value === null) Reflect.deleteProperty(result, key)
    else result[key] = mergedField(result[key], value, fieldOf(model, key))
  }
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith(DELETIONS)) removeValues(result, key.slice(DELETIONS.length), arrayOrEmpty(value))
    if (key.startsWith(ORDER)) {
      const name = key.slice(ORDER.length)
      if (isArray(result[name]))
        result[name] = ordered(result[name], arrayOrEmpty(value), fieldOf(model, name))
    }
  }
  return result
}

function fieldOf(model: string | undefined, key: string): Field | undefined {
  return model === undefined ? undefined : modelNamed(model)?.get(key)
}

function mergedField(target: Json | undefined, patch: Json, field: Field | undefined): Json {
  if (isObject(patch)) return strategicMergePatch(objectOrEmpty(target), patch, field?.type)
  if (!isArray(patch) || field?.isList !== true) return patch
  const { merge, type } = field
  if (merge.by === 'keys') return mergedList(arrayOrEmpty(target), patch, { keys: merge.keys, model: type })
  if (merge.by === 'set') {
    const present = arrayOrEmpty(target)
    return [...present, ...patch.filter((value) => !present.some((other) => jsonEqual(value, other)))]
  }
  return patch.map((item) => (isObject(item) ? withoutDirectives(item) : item))
}

function mergedList(
  target: readonly Json[],
  patch: readonly Json[],
  how: { readonly keys: Keys; readonly model: string },
): readonly Json[] {
  const isReplacement = patch.some((item) => objectOrEmpty(item)['$patch'] === 'replace')
  let result: readonly Json[] = isReplacement ? [] : target
  for (const item of patch) {
    if (!isObject(item)) continue
    const { $patch: directive, ...fields } = item
    const isMeant = (element: Json) => isMeantByPatch(how.keys, element, fields)
    if (directive === 'delete') result = result.filter((element) => !isMeant(element))
    else if (Object.keys(fields).length > 0) {
      const index = result.findIndex(isMeant)
      const merged = strategicMergePatch(objectOrEmpty(result[index]), fields, how.model)
      result = index < 0 ? [...result, merged] : result.with(index, merged)
    }
  }
  return result
}

/** The elements that the order names in its order, then those that only the server has. */
function ordered(list: readonly Json[], order: readonly Json[], field: Field | undefined): readonly Json[] {
  const rankOf = (element: Json): number => {
    const rank = order.findIndex((named) =>
      field?.merge.by === 'keys'
        ? isMeantByPatch(field.merge.keys, element, named)
        : jsonEqual(element, named),
    )
    return rank < 0 ? order.length : rank
  }
  return list.toSorted((a, b) => rankOf(a) - rankOf(b))
}

function retained(target: JsonObject, patch: JsonObject): JsonObject {
  const kept = patch['$retainKeys']
  if (!isArray(kept)) return target
  return Object.fromEntries(Object.entries(target).filter(([key]) => kept.includes(key)))
}

function removeValues(result: Record<string, Json | undefined>, name: string, values: readonly Json[]): void {
  if (!isArray(result[name])) return
  result[name] = result[name].filter((item) => !values.some((value) => jsonEqual(item, value)))
}

function withoutDirectives(value: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith('$')))
}
