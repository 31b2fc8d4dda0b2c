/**
 * Reading JSON of unknown shape without ever throwing. What is not there, or is of another type, reads as absent;
 * whoever must tell the difference looks at the raw value.
 */
export type JsonObject = Readonly<Record<string, unknown>>

const NOTHING: JsonObject = {}

/** The value as an object; an empty one for everything else. */
export function asObject(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as JsonObject)
    : NOTHING
}

/** The value as a list; an empty one for everything else. */
export function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

export function asText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** A field counts as absent when it is missing or null, as in Go's JSON. */
export function isAbsent(value: unknown): value is null | undefined {
  return value === undefined || value === null
}

const LONGEST_QUOTE = 80

/**
 * The value in quotes for a message of one line: cut to a bounded length, and without any character that could break
 * the line, move the cursor or reverse the text.
 */
export function quoteValue(value: unknown): string {
  if (typeof value === 'string') return `"${escapeText(value)}"`
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (Array.isArray(value)) return 'a list'
  return isAbsent(value) ? 'nothing' : 'an object'
}

/** At most 80 characters of the text, control and formatting characters as `\u{…}`. */
export function escapeText(text: string): string {
  const cut = text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}…` : text
  return cut.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}"\\]/gu,
    (found) => `\\u{${(found.codePointAt(0) ?? 0).toString(16)}}`,
  )
}
