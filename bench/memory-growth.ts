/** Whether a process has stopped growing. Pure. */

export interface MemoryVerdict {
  /** Medians, after what was left out as warming up. */
  readonly first: number
  readonly second: number
  readonly samples: number
  readonly grows: boolean
}

/** Caches fill and code is compiled at first: this part of the samples does not count. */
const WARMING_UP = 0.2
/** What counts as growth: more than noise of the cluster's own size. */
const ALLOWED = 1.1
const ALLOWED_MB = 3

/** Samples in the order of time, megabytes. */
export function memoryVerdict(samples: readonly number[]): MemoryVerdict {
  const counted = samples.slice(Math.floor(samples.length * WARMING_UP))
  const middle = Math.floor(counted.length / 2)
  const [first, second] = [median(counted.slice(0, middle)), median(counted.slice(middle))]
  const grows = second > Math.max(first * ALLOWED, first + ALLOWED_MB)
  return { first, second, samples: counted.length, grows }
}

/** What was alive after each full collection, from what `node --trace-gc` prints. */
export function liveHeaps(log: string): number[] {
  return [...log.matchAll(/Mark-Compact .*?[\d.]+ \([\d.]+\) -> ([\d.]+) \(/g)].map(([, live]) =>
    Number(live),
  )
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
