/** Keys that need attention: each one is worked on once, however often it was added, still within the same tick. */
export class WorkQueue {
  readonly #keys = new Set<string>()
  readonly #work: (key: string) => void
  readonly #failed: (error: unknown, key: string) => void
  #isScheduled = false

  constructor(work: (key: string) => void, failed: (error: unknown, key: string) => void) {
    this.#work = work
    this.#failed = failed
  }

  add(key: string): void {
    this.#keys.add(key)
    if (this.#isScheduled) return
    this.#isScheduled = true
    queueMicrotask(() => {
      this.#isScheduled = false
      this.drain()
    })
  }

  /** Works until no key is left, also on those that the work itself adds. */
  drain(): void {
    for (const key of this.#keys) {
      this.#keys.delete(key)
      try {
        this.#work(key)
      } catch (error) {
        this.#failed(error, key)
      }
    }
  }
}
