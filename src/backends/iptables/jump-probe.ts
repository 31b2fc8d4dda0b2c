/**
 * Notices that somebody else touched the way to our rules, cheaply enough to ask all the time.
 *
 * It looks at the jumps from the built-in chains and at the first chain behind them, not at everything: who flushes a
 * table takes the jumps along. In the nft variant the kernel counts transactions, and a chain is listed without
 * reading the rest; so there nothing is read while nobody writes anything. Legacy iptables always
 * copies a whole table to read one chain of it, so its `nat` table is read only after the kernel has put another one
 * in its place, which shows in the list of the kernel's large allocations (for all namespaces together, hence a hint
 * and not a proof; from time to time it is read in any case).
 */
import { atOnce } from '../../collections/sliced.ts'
import type { ForeignTransactions } from '../../kernel/foreign-transactions.ts'
import type { Iptables } from '../../kernel/iptables.ts'
import { IN_PLACE, type Table } from '../../netfilter/iptables/chain.ts'
import { targetOf } from '../../netfilter/iptables/parse-save.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Drift } from '../backend.ts'
import { JUMPS, SERVICES } from './names.ts'
import { observedObjects } from './observe.ts'

/** Asked more often, it answers "nothing" without looking. */
const MIN_INTERVAL_MS = 700
/** A table that is read faster than this is read every time. */
const CHEAP_MS = 15
/** Tables that take longer to read are large: a program that stays would keep as much memory. */
const LARGE_MS = 50
const ALWAYS_AFTER_MS = 10_000
/** What is read in any case takes no more than a 250th of one processor. */
const REST_PER_COST = 250

const FILTER_CHAINS = chainsOf('filter')
const NAT_CHAINS = [...chainsOf('nat'), SERVICES]

function chainsOf(table: Table): readonly string[] {
  return [...new Set(JUMPS.filter((jump) => jump.table === table).map(({ chain }) => chain))]
}

export interface JumpProbeOptions {
  readonly iptables: Iptables
  readonly clock: Clock
  /** Without it the chains are read at every question. */
  readonly foreign: ForeignTransactions | undefined
}

export class JumpProbe {
  readonly #iptables: Iptables
  readonly #clock: Clock
  readonly #foreign: ForeignTransactions | undefined
  #checkedAtMs = -Infinity
  #readAtMs = -Infinity
  /** What others did was taken for our own, during a write of ours, or could not be read. */
  #mayHaveMissed = true
  /** What the last reading of both tables took. */
  #costMs = Infinity
  #nat: { readonly costMs: number; readonly readAtMs: number; readonly allocations: string } | undefined

  constructor(options: JumpProbeOptions) {
    this.#iptables = options.iptables
    this.#clock = options.clock
    this.#foreign = options.foreign
  }

  /** Runs a write of our own, which is nobody's drift. */
  async ownWrite<T>(write: () => Promise<T>): Promise<T> {
    this.#mayHaveMissed = true
    return this.#foreign?.ownWrites(write) ?? write()
  }

  /** We have changed the tables ourselves: what is known about them is void. */
  forget(): void {
    this.#nat = undefined
  }

  /** `servicesText`: what the chain KUBE-SERVICES in nat should be; `undefined`: it is not known yet. */
  async check(servicesText: string | undefined, signal: AbortSignal): Promise<Drift | undefined> {
    const nowMs = this.#clock.monotonic()
    if (servicesText === undefined || nowMs - this.#checkedAtMs < MIN_INTERVAL_MS) return undefined
    this.#checkedAtMs = nowMs
    if (!(await this.#isDue(nowMs))) return undefined
    this.#readAtMs = nowMs
    this.#mayHaveMissed = false
    try {
      return (await this.#natIsDue(nowMs))
        ? await this.#checkBoth(servicesText, signal)
        : driftIn(await this.#iptables.listChains({ filter: FILTER_CHAINS }, signal), 'filter', servicesText)
    } catch (error) {
      // The kernel tells of a foreign transaction once.
      this.#mayHaveMissed = true
      throw error
    }
  }

  /** Where the kernel counts transactions, only a foreign one can have changed anything. */
  async #isDue(nowMs: number): Promise<boolean> {
    const happened = (await this.#foreign?.happened()) ?? true
    return happened || (this.#mayHaveMissed && nowMs - this.#readAtMs > ALWAYS_AFTER_MS)
  }

  async #checkBoth(servicesText: string, signal: AbortSignal): Promise<Drift | undefined> {
    // Taken before reading: a change in between is then noticed next time. What is read every time needs no hint.
    const isCheap = this.#costMs < CHEAP_MS
    const allocations = isCheap ? '' : await this.#iptables.tableAllocations()
    const startedMs = this.#clock.monotonic()
    const chains = { filter: FILTER_CHAINS, nat: NAT_CHAINS }
    const text = await this.#iptables.listChains(chains, signal, { bySameProgram: this.#costMs < LARGE_MS })
    const readAtMs = this.#clock.monotonic()
    this.#costMs = readAtMs - startedMs
    const drift = driftIn(text, 'filter', servicesText) ?? driftIn(text, 'nat', servicesText)
    this.#nat = drift === undefined ? { costMs: this.#costMs, readAtMs, allocations } : undefined
    return drift
  }

  async #natIsDue(nowMs: number): Promise<boolean> {
    const known = this.#nat
    if (known === undefined || this.#iptables.programs.variant === 'nft') return true
    if (known.costMs < CHEAP_MS) return true
    if (nowMs - known.readAtMs > Math.max(ALWAYS_AFTER_MS, REST_PER_COST * known.costMs)) return true
    const allocations = await this.#iptables.tableAllocations()
    return allocations === '' || allocations !== known.allocations
  }
}

/** `text`: the chains of this table, at least, as `iptables-save` would print them. */
export function driftIn(text: string, table: 'nat' | 'filter', servicesText: string): Drift | undefined {
  const seen = new Map(
    atOnce(observedObjects(text, { expectsGuard: false })).map((object) => [object.key, object.text]),
  )
  for (const jump of JUMPS) {
    if (jump.table !== table) continue
    const found = seen.get(jump.key)
    const name = `jump from ${table} ${jump.chain} to ${targetOf(jump.rule) ?? '?'}`
    if (found === undefined) return { what: `${name} is missing` }
    if (found !== IN_PLACE) return { what: `${name} stands ${found}` }
  }
  if (table === 'nat' && seen.get(`nat/${SERVICES}`) !== servicesText)
    return { what: `chain nat ${SERVICES} holds other rules` }
  return undefined
}
