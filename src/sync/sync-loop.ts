/**
 * Decides when a sync runs: at once for the first request, coalesced for those that come while one runs, again by
 * itself after a failure. One sync at a time.
 *
 * kube-proxy waits a fixed second between syncs. Here the pause after a sync is as long as the sync took (and at most
 * `maxPauseMs`): a cheap change is followed by the next one immediately, and an expensive rule set can never take more
 * than half of a processor.
 */
import type { Clock } from '../runtime/clock.ts'
import type { Backoff } from './backoff.ts'

export interface SyncLoopOptions {
  readonly clock: Clock
  /** Waiting times after failed runs. */
  readonly backoff: Backoff
  /** Upper limit of the pause after a run (`minSyncPeriod`). */
  readonly maxPauseMs: number
  /** One sync. A rejection means "try again later"; the loop does not look at the reason. */
  readonly run: (signal: AbortSignal) => Promise<void>
  /** Told about every failed run and the time until the next one. */
  readonly onFailure: (error: unknown, retryInMs: number) => void
}

export class SyncLoop {
  readonly #options: SyncLoopOptions
  #requested = false
  #wake: (() => void) | undefined

  constructor(options: SyncLoopOptions) {
    this.#options = options
  }

  /** Asks for a run; any number of requests before the next run are one. */
  request(): void {
    this.#requested = true
    this.#wake?.()
  }

  /** Runs until the signal is aborted; never rejects. A run in progress is aborted through its own signal. */
  async start(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#wake?.(), { once: true })
    for (;;) {
      await this.#untilRequested(signal)
      if (signal.aborted) return
      this.#requested = false
      const pauseMs = await this.#runOnce(signal)
      if (pauseMs > 0) await this.#options.clock.sleep(pauseMs, signal).catch(() => undefined)
    }
  }

  async #runOnce(signal: AbortSignal): Promise<number> {
    const { clock, backoff, maxPauseMs, run, onFailure } = this.#options
    const startedMs = clock.monotonic()
    try {
      await run(signal)
      backoff.reset()
      return Math.min(maxPauseMs, clock.monotonic() - startedMs)
    } catch (error) {
      if (signal.aborted) return 0
      const retryInMs = backoff.next()
      onFailure(error, retryInMs)
      this.#requested = true
      return retryInMs
    }
  }

  async #untilRequested(signal: AbortSignal): Promise<void> {
    if (this.#requested || signal.aborted) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    this.#wake = undefined
  }
}
