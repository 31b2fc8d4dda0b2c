/** Tells of a failure that repeats: the first time, then at most once a minute, and once when it is over. */
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'

const REPEAT_MS = 60_000

export class FailureLog {
  readonly #logger: Logger
  readonly #clock: Clock
  #sinceMs: number | undefined
  #loggedMs = -Infinity
  /** Failures since the last line about one. */
  #silent = 0
  #told = false

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger
    this.#clock = clock
  }

  /** `facts` go into the line; `sentence` is constant. */
  failed(facts: object, sentence: string): void {
    const now = this.#clock.monotonic()
    this.#sinceMs ??= now
    if (now - this.#loggedMs < REPEAT_MS) {
      this.#silent++
      return
    }
    this.#logger.warn({ ...facts, ...(this.#silent > 0 && { countSilent: this.#silent }) }, sentence)
    this.#loggedMs = now
    this.#silent = 0
    this.#told = true
  }

  /** Says "Recovered" when a failure was told of before. */
  recovered(facts: object): void {
    if (this.#sinceMs === undefined) return
    const durationMs = Math.round(this.#clock.monotonic() - this.#sinceMs)
    this.#sinceMs = undefined
    if (!this.#told) return
    this.#told = false
    this.#logger.info({ ...facts, durationMs }, 'Recovered')
  }
}
