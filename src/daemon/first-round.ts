/**
 * Ends when every IP family has tried to program the kernel, whatever came of it. What nobody waits for (looking for
 * what others left behind, examining the node) starts dozens of programs, and begins only then.
 */
import type { SyncReport } from '../sync/family-pipeline.ts'
import type { Family } from '../net/ip.ts'

export class FirstRound {
  readonly #ended = Promise.withResolvers<undefined>()
  readonly #families: () => number
  readonly #tried = new Set<Family>()

  /** `families`: how many work on this host; asked when one has tried. `signal` ends the waiting, too. */
  constructor(families: () => number, signal: AbortSignal) {
    this.#families = families
    signal.addEventListener('abort', () => this.#ended.resolve(undefined), { once: true })
  }

  get ended(): Promise<undefined> {
    return this.#ended.promise
  }

  onSynced({ family }: Pick<SyncReport, 'family'>): void {
    this.#hasTried(family)
  }

  onSyncFailed(family: Family): void {
    this.#hasTried(family)
  }

  #hasTried(family: Family): void {
    this.#tried.add(family)
    if (this.#tried.size >= this.#families()) this.#ended.resolve(undefined)
  }
}
