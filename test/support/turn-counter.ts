/** Counts turns of the event loop: what others could have used them for is a question of turns, not of time. */
export class TurnCounter {
  #turns = 0
  #next: NodeJS.Immediate

  constructor() {
    const count = (): void => {
      this.#turns++
      this.#next = setImmediate(count)
    }
    this.#next = setImmediate(count)
  }

  /** Turns since the start. */
  get turns(): number {
    return this.#turns
  }

  /** To be called at the end: a counter keeps the process busy. */
  stop(): void {
    clearImmediate(this.#next)
  }
}
