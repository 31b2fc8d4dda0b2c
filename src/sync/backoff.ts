/** Jittered exponential waiting times: each between half and the whole of `firstMs · 2^n`, never above `maxMs`. */
export interface Backoff {
  /** The next waiting time in milliseconds. */
  next(): number
  /** Start again from `firstMs`, after a success. */
  reset(): void
}

export function createBackoff(options: {
  readonly firstMs: number
  readonly maxMs: number
  /** Uniform in [0, 1); `Math.random` in the program. */
  readonly random: () => number
}): Backoff {
  let attempt = 0
  return {
    next: () => {
      const ceiling = Math.min(options.maxMs, options.firstMs * 2 ** Math.min(attempt, 30))
      attempt++
      return ceiling * (0.5 + options.random() / 2)
    },
    reset: () => {
      attempt = 0
    },
  }
}
