/** What JSON can carry. Values are treated as immutable: whoever changes one builds a new one. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export type JsonObject = { readonly [field: string]: Json | undefined }

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isArray(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value)
}

/** The value if it is an object, else the empty object: for walking into optional parts. */
export function objectOrEmpty(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {}
}

/** The value if it is a list, else the empty list. */
export function arrayOrEmpty(value: Json | undefined): readonly Json[] {
  return isArray(value) ? value : []
}

/** The value at a path of field names, `undefined` where the path ends early. */
export function valueAt(value: Json | undefined, path: readonly string[]): Json | undefined {
  let current = value
  for (const field of path) current = objectOrEmpty(current)[field]
  return current
}

/** Equality of JSON values; a field that is `undefined` equals an absent one, field order does not matter. */
export function jsonEqual(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true
  if (isArray(a) && isArray(b)) return a.length === b.length && a.every((item, i) => jsonEqual(item, b[i]))
  if (!isObject(a) || !isObject(b)) return false
  for (const field of Object.keys(a)) if (!jsonEqual(a[field], b[field])) return false
  for (const field of Object.keys(b)) if (b[field] !== undefined && a[field] === undefined) return false
  return true
}

/** The object without the fields that are `undefined`. */
export function withoutUndefined(value: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined))
}
