/** Pure arithmetic over what was measured. */

export interface Summary {
  readonly count: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly max: number
}

/** `undefined` of nothing. */
export function summarize(values: readonly number[]): Summary | undefined {
  if (values.length === 0) return undefined
  const sorted = [...values].sort((a, b) => a - b)
  const at = (p: number): number => percentile(sorted, p)
  return { count: sorted.length, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) }
}

/** Nearest rank: always a value that was really measured. `sorted` ascending and not empty; `p` from 0 to 1. */
export function percentile(sorted: readonly number[], p: number): number {
  const rank = Math.max(1, Math.ceil(p * sorted.length))
  return sorted[rank - 1] ?? Number.NaN
}

export interface Spread {
  readonly connections: number
  readonly endpoints: number
  readonly reached: number
  readonly chiSquare: number
  /** Probability of a spread at least this uneven if every endpoint were equally likely. */
  readonly probability: number
}

/** Judges counts per endpoint against an even spread; endpoints that were never reached count too. */
export function judgeSpread(counts: readonly number[], endpoints: number): Spread {
  const connections = counts.reduce((sum, count) => sum + count, 0)
  const expected = connections / endpoints
  const unreached = Math.max(0, endpoints - counts.length)
  const chiSquare =
    counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0) + unreached * expected
  const probability = upperTail(chiSquare, endpoints - 1)
  return { connections, endpoints, reached: counts.length, chiSquare, probability }
}

/** Wilson and Hilferty's approximation: the cube root of chi-square is nearly normal. */
function upperTail(chiSquare: number, degrees: number): number {
  if (degrees < 1) return 1
  const variance = 2 / (9 * degrees)
  const z = (Math.cbrt(chiSquare / degrees) - (1 - variance)) / Math.sqrt(variance)
  return 1 - standardNormal(z)
}

/** Abramowitz and Stegun 26.2.17; the error is below 1e-7. */
function standardNormal(z: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(z))
  const series = [0.31938153, -0.356563782, 1.781477937, -1.821255978, 1.330274429]
  const sum = series.reduceRight((inner, factor) => t * (factor + inner), 0)
  const tail = (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * sum
  return z >= 0 ? 1 - tail : tail
}
