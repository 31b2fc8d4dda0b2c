/** A deadline that moves: aborts its signal when nothing was heard for a while. */
import type { Clock } from '../runtime/clock.ts'

export class Watchdog {
  readonly #clock: Clock
  readonly #outer: AbortSignal
  readonly #controller = new AbortController()
  #sleep = new AbortController()
  #limitMs: number
  #heardMs: number
  #expired = false
  #closed = false

  /** Starts at once. The signal follows `outer` too. `close` must be called in the end. */
  constructor(options: { readonly clock: Clock; readonly limitMs: number; readonly outer: AbortSignal }) {
    this.#clock = options.clock
    this.#outer = options.outer
    this.#limitMs = options.limitMs
    this.#heardMs = options.clock.monotonic()
    if (options.outer.aborted) this.#followOuter()
    else options.outer.addEventListener('abort', this.#followOuter)
    void this.#guard(this.#sleep.signal)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** True when the signal was aborted by silence and not from outside. */
  get expired(): boolean {
    return this.#expired
  }

  get limitMs(): number {
    return this.#limitMs
  }

  /** Something was heard. */
  touch(): void {
    this.#heardMs = this.#clock.monotonic()
  }

  /** Something was heard, and from now on another limit holds. */
  restart(limitMs: number): void {
    this.touch()
    this.#limitMs = limitMs
    if (this.#closed || this.#controller.signal.aborted) return
    this.#sleep.abort()
    this.#sleep = new AbortController()
    void this.#guard(this.#sleep.signal)
  }

  /** Ends the watching without aborting anything. */
  close(): void {
    this.#closed = true
    this.#sleep.abort()
    this.#outer.removeEventListener('abort', this.#followOuter)
  }

  readonly #followOuter = (): void => {
    this.#controller.abort(this.#outer.reason)
    this.#sleep.abort()
  }

  /** One sleeper however many bytes come: touching moves the deadline, and the sleeper looks when it wakes. */
  async #guard(stop: AbortSignal): Promise<void> {
    let waitMs = this.#limitMs
    while (waitMs > 0) {
      try {
        await this.#clock.sleep(waitMs, stop)
      } catch {
        return
      }
      waitMs = this.#limitMs - (this.#clock.monotonic() - this.#heardMs)
    }
    this.#expired = true
    this.#controller.abort(new Error('silence'))
  }
}
