/** A clock that moves only when a test says so. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '../../src/runtime/clock.ts'

interface Sleeper {
  readonly untilMs: number
  readonly wake: () => void
}

export class ManualClock implements Clock {
  #nowMs: number
  #sleepers: Sleeper[] = []

  constructor(startMs = 0) {
    this.#nowMs = startMs
  }

  now(): number {
    return this.#nowMs
  }

  monotonic(): number {
    return this.#nowMs
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) reject(new Error('aborted'))
      const sleeper = { untilMs: this.#nowMs + ms, wake: resolve }
      this.#sleepers.push(sleeper)
      const cancel = (): void => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper)
        reject(new Error('aborted'))
      }
      signal?.addEventListener('abort', cancel, { once: true })
    })
  }

  /** Lets everything run that is ready now. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 5; turn++) await nextTurn()
  }

  /** Moves time on, waking sleepers in their order. */
  async advance(ms: number): Promise<void> {
    const targetMs = this.#nowMs + ms
    await this.settle()
    for (;;) {
      const due = this.#sleepers
        .filter(({ untilMs }) => untilMs <= targetMs)
        .sort((a, b) => a.untilMs - b.untilMs)
      const [next] = due
      if (next === undefined) break
      this.#nowMs = next.untilMs
      this.#sleepers = this.#sleepers.filter((other) => other !== next)
      next.wake()
      await this.settle()
    }
    this.#nowMs = targetMs
    await this.settle()
  }
}
