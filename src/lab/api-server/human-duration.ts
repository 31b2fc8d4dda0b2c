const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const YEAR = 365 * DAY

interface Band {
  readonly below: number
  readonly unit: number
  readonly letter: string
  /** A second, smaller unit is shown unless it is zero. */
  readonly second?: { readonly unit: number; readonly letter: string }
}

const BANDS: readonly Band[] = [
  { below: 2 * MINUTE, unit: SECOND, letter: 's' },
  { below: 10 * MINUTE, unit: MINUTE, letter: 'm', second: { unit: SECOND, letter: 's' } },
  { below: 3 * HOUR, unit: MINUTE, letter: 'm' },
  { below: 8 * HOUR, unit: HOUR, letter: 'h', second: { unit: MINUTE, letter: 'm' } },
  { below: 2 * DAY, unit: HOUR, letter: 'h' },
  { below: 8 * DAY, unit: DAY, letter: 'd', second: { unit: HOUR, letter: 'h' } },
  { below: 2 * YEAR, unit: DAY, letter: 'd' },
  { below: 8 * YEAR, unit: YEAR, letter: 'y', second: { unit: DAY, letter: 'd' } },
]

/** A duration as kubectl prints ages: `42s`, `5m10s`, `3h`, `2d4h`, `400d`. */
export function humanDuration(ms: number): string {
  if (ms < 0) return '0s'
  const band = BANDS.find(({ below }) => ms < below)
  if (band === undefined) return `${Math.floor(ms / YEAR)}y`
  const first = `${Math.floor(ms / band.unit)}${band.letter}`
  if (band.second === undefined) return first
  const rest = Math.floor((ms % band.unit) / band.second.unit)
  return rest === 0 ? first : `${first}${rest}${band.second.letter}`
}
