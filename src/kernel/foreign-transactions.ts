/**
 * Whether somebody else changed anything in nftables, without being told and without reading what: the kernel counts
 * its transactions, and those that are not ours are somebody's.
 *
 * One count for the process: the transactions of one IP family's writes are not the other's to worry about.
 */
export interface GenerationSource {
  /** Grows by one with every transaction in this network namespace. */
  generation(): Promise<number>
}

/** One reader's view. */
export interface ForeignTransactions {
  /** Runs a write of our own. `transactions`: how many it makes at most; without it all that happen meanwhile are ours. */
  ownWrites<T>(write: () => Promise<T>, transactions?: number): Promise<T>
  /** Since the last question, or since this view was made. While we write it is not known, and answered later. */
  happened(): Promise<boolean>
}

export class TransactionLedger {
  readonly #source: GenerationSource
  /** Our own transactions that have ended; the generation less these changes only by others. */
  #ours = 0
  /** Writes of ours that are under way, how many transactions they may make, and the generation before the first. */
  #open = 0
  #allowed = 0
  #before: Promise<number> | undefined

  constructor(source: GenerationSource) {
    this.#source = source
  }

  /** Sees what happens from now on. */
  async view(): Promise<ForeignTransactions> {
    let seen = await this.#foreign()
    return {
      ownWrites: async (write, transactions) => this.#ownWrites(write, transactions ?? Infinity),
      happened: async () => {
        const foreign = this.#open > 0 ? undefined : await this.#foreign()
        // A write of ours may have begun while the kernel was asked.
        if (foreign === undefined || this.#open > 0 || foreign === seen) return false
        seen = foreign
        return true
      },
    }
  }

  async #ownWrites<T>(write: () => Promise<T>, transactions: number): Promise<T> {
    this.#open++
    this.#allowed += transactions
    this.#before ??= this.#source.generation()
    const before = await this.#before.catch(() => undefined)
    try {
      return await write()
    } finally {
      // Where the kernel does not answer, our own transactions look like somebody's: one look too many.
      const after = await this.#source.generation().catch(() => before)
      if (--this.#open === 0) this.#settle(before, after)
    }
  }

  #settle(before: number | undefined, after: number | undefined): void {
    if (before !== undefined && after !== undefined)
      this.#ours = wrapped(this.#ours + Math.min(wrapped(after - before), this.#allowed))
    this.#allowed = 0
    this.#before = undefined
  }

  async #foreign(): Promise<number> {
    return wrapped((await this.#source.generation()) - this.#ours)
  }
}

/** The kernel counts in 32 bits. */
function wrapped(count: number): number {
  return count >>> 0
}
