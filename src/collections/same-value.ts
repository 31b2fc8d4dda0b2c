/**
 * Whether two plain values (objects, lists and primitives, without cycles) say the same. Stages use it to hand on the
 * old object when a new one would not differ, so that everything downstream sees by identity that there is no work.
 */
export function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a) || Array.isArray(b)) return Array.isArray(a) && Array.isArray(b) && sameItems(a, b)
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  return keys.every(
    (key) =>
      Object.hasOwn(b, key) &&
      sameValue((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]),
  )
}

function sameItems(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (!sameValue(a[i], b[i])) return false
  return true
}

/** `before` when it says the same as `next`, else `next`. */
export function keepIdentity<T>(before: T | undefined, next: T): T {
  return before !== undefined && sameValue(before, next) ? before : next
}
