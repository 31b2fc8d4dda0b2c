import { ConfigError } from './config-error.ts'
import type { SettingName } from './settings.ts'
import type { Unusable } from './value-type.ts'

/** A value that somebody wrote, and how it looked there: `"--cluster-cidr=10.0.0.0/16"`. */
export interface Given {
  readonly value: unknown
  /** For messages, quotes and the file's name included. */
  readonly label: string
}

/** What one source (command line or file) says about some settings. */
export interface GivenSettings {
  readonly settings: ReadonlyMap<SettingName, Given>
  /** Values that could not be used, with the setting they were meant for. */
  readonly refused: readonly Refused[]
  /** Errors that belong to no setting. */
  readonly errors: readonly ConfigError[]
  /** Said once at start. */
  readonly notes: readonly string[]
}

export interface Refused {
  readonly setting: SettingName
  readonly error: ConfigError
}

export function refuse(
  setting: SettingName,
  facts: { readonly label: string; readonly path: string; readonly why: Unusable },
): Refused {
  const message = `Cannot use ${facts.label}: ${facts.why.reason}`
  return { setting, error: new ConfigError(message, { code: 'invalid', path: facts.path }) }
}

/** The known word that a mistyped one is closest to, if any is close. */
export function closest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = Math.max(1, Math.floor(word.length / 4)) + 1
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), least)
    if (distance >= least) continue
    least = distance
    best = candidate
  }
  return best
}

/** Levenshtein's distance; `limit` or more is returned as soon as it is certain. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + Number(a[i - 1] !== b[j - 1])
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    if (Math.min(...next) >= limit) return limit
    row = next
  }
  return row[b.length] ?? limit
}
