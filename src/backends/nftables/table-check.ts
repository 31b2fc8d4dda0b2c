/**
 * Whether our table still holds what we left in it, asked only after somebody else made a transaction somewhere: how
 * many rules each chain has, and how many elements each set and map. Recent kernels know the numbers; others list the
 * elements, half a second of waiting and 0.15 s of work for 60,000. What is replaced by as much of something else is
 * found by the next resync.
 */
import type { ForeignTransactions } from '../../kernel/foreign-transactions.ts'
import type { NfTables } from '../../kernel/nf-tables.ts'
import type { NftTable } from '../../kernel/nft.ts'
import type { KernelState } from '../../netfilter/kernel-state.ts'
import { partsOf } from '../../netfilter/nftables/ruleset.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Drift } from '../backend.ts'
import { FILLED_BY_PACKETS } from './names.ts'
import type { BackendObject } from './plan-node.ts'

/** Where others write all the time, counting takes at most one part in so many of a processor. */
const LONGEST_SHARE = 20

export interface TableCheckOptions {
  readonly table: NftTable
  readonly foreign: ForeignTransactions
  readonly tables: Pick<NfTables, 'contents'>
  readonly clock: Clock
}

export class TableCheck {
  readonly #options: TableCheckOptions
  #pending = false
  #notBeforeMs = -Infinity

  constructor(options: TableCheckOptions) {
    this.#options = options
  }

  /** `believed`: what is compared with; while it is not known the kernel is read anyway. */
  async drift(believed: KernelState<BackendObject> | undefined): Promise<Drift | undefined> {
    const { clock, foreign, tables, table } = this.#options
    this.#pending = (await foreign.happened()) || this.#pending
    const startedMs = clock.monotonic()
    if (!this.#pending || believed === undefined || startedMs < this.#notBeforeMs) return undefined
    const wanted = countsOf(believed)
    const found = await tables.contents(table, isCounted)
    const endedMs = clock.monotonic()
    this.#notBeforeMs = endedMs + (endedMs - startedMs) * LONGEST_SHARE
    const difference =
      firstDifference(wanted.rules, found.rules, { what: 'chain', parts: 'rules', isCounted: () => true }) ??
      firstDifference(wanted.elements, found.elements, { what: 'set', parts: 'elements', isCounted })
    // A sync may have come in between and made this void; so it is counted again until it fits.
    this.#pending = difference !== undefined
    return difference === undefined ? undefined : { what: `table ${table}: ${difference}` }
  }
}

interface Counts {
  readonly rules: ReadonlyMap<string, number>
  readonly elements: ReadonlyMap<string, number>
}

function countsOf(state: KernelState<BackendObject>): Counts {
  const rules = new Map<string, number>()
  const elements = new Map<string, number>()
  for (const fragment of state.values())
    for (const object of fragment.values()) {
      if (object.kind === 'chain') rules.set(object.name, object.text.split('\n').length - 1)
      else if (object.kind === 'container') elements.set(object.name, elements.get(object.name) ?? 0)
      else if (object.kind === 'element') {
        const { container } = partsOf(object)
        elements.set(container, (elements.get(container) ?? 0) + 1)
      }
    }
  return { rules, elements }
}

/** Clients come and go in these. */
function isCounted(set: string): boolean {
  return !FILLED_BY_PACKETS.has(set)
}

interface Words {
  readonly what: string
  readonly parts: string
  readonly isCounted: (name: string) => boolean
}

/** `chain services has 0 rules instead of 2`. */
function firstDifference(
  wanted: ReadonlyMap<string, number>,
  found: ReadonlyMap<string, number>,
  words: Words,
): string | undefined {
  for (const [name, count] of wanted) {
    const have = found.get(name)
    if (have === undefined) return `${words.what} ${name} is missing`
    if (have !== count && words.isCounted(name))
      return `${words.what} ${name} has ${have} ${words.parts} instead of ${count}`
  }
  for (const name of found.keys()) if (!wanted.has(name)) return `${words.what} ${name} is not ours`
  return undefined
}
