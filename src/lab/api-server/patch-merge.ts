/** JSON merge patch (RFC 7396). */
import { isObject, type Json } from './json.ts'

export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch
  const result: Record<string, Json | undefined> = isObject(target) ? { ...target } : {}
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) Reflect.deleteProperty(result, field)
    else if (value !== undefined) result[field] = mergePatch(result[field], value)
  }
  return result
}
