/** Lists whose elements have an identity: how patches find the element they mean. */
import { isObject, type Json, jsonEqual } from './json.ts'

/** Values that stand for an absent key field. */
const KEY_DEFAULTS: Readonly<Record<string, Json>> = { protocol: 'TCP' }

export type Keys = readonly [string, ...string[]]

/** Whether two elements are the same one by all keys; an absent protocol is TCP. */
export function isSameElement(keys: Keys, a: Json, b: Json): boolean {
  if (!isObject(a) || !isObject(b)) return jsonEqual(a, b)
  return keys.every((key) => jsonEqual(a[key] ?? KEY_DEFAULTS[key], b[key] ?? KEY_DEFAULTS[key]))
}

/**
 * The element that a strategic patch means: by the merge key, and by the further keys where the patch names them.
 * (The API server looks at the merge key alone and so mixes up 53/TCP and 53/UDP.)
 */
export function isMeantByPatch(keys: Keys, element: Json, patch: Json): boolean {
  if (!isObject(element) || !isObject(patch)) return jsonEqual(element, patch)
  const [mergeKey, ...others] = keys
  if (!jsonEqual(element[mergeKey], patch[mergeKey])) return false
  return others.every(
    (key) => patch[key] === undefined || jsonEqual(element[key] ?? KEY_DEFAULTS[key], patch[key]),
  )
}
