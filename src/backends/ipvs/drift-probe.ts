/**
 * Notices what others do to our objects, and runs no program while nobody does anything: addresses, sizes of sets and the
 * table of virtual servers are asked for within this process, and rules are read only after the kernel's count of
 * transactions (nft variant) or of rules (legacy) has changed.
 */
import { atOnce } from '../../collections/sliced.ts'
import type { Iptables } from '../../kernel/iptables.ts'
import type { IpvsControl } from '../../kernel/ipvs-control.ts'
import type { IpvsSenses } from '../../kernel/ipvs-senses.ts'
import type { Chain, SharedChain, SharedRule } from '../../netfilter/iptables/chain.ts'
import { readServerTable } from '../../netfilter/ipvs/server-table.ts'
import type { Ip } from '../../net/ip.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Drift } from '../backend.ts'
import type { KernelLedger } from './kernel-ledger.ts'
import { observedRules } from './observe.ts'
import type { IpvsPlanner } from './plan.ts'

/** What grows with the cluster is looked at so rarely that each look takes a hundredth of one processor at most. */
const REST_PER_LOOK = 100
const LONGEST_REST_MS = 30_000
/** Rules are read this often where the kernel gives no hint, and where it does. */
const RULES_WITHOUT_HINT_MS = 700
const RULES_WITH_HINT_MS = 60_000

type Rule = Chain | SharedRule | SharedChain

export interface DriftProbeOptions {
  readonly senses: IpvsSenses
  readonly ledger: KernelLedger
  readonly planner: Pick<IpvsPlanner, 'family'> & {
    localIps(): Iterable<Ip>
    rules(): Iterable<Rule>
  }
  readonly control: Pick<IpvsControl, 'has'>
  readonly iptables: Iptables
  readonly clock: Clock
}

type Look = (signal: AbortSignal) => string | undefined | Promise<string | undefined>

export class DriftProbe {
  readonly #options: DriftProbeOptions
  readonly #looks: readonly Look[]
  /** Counts our own writes: what was seen while one of them began says nothing. */
  #version = 0
  /** Counts how often the kernel was read. */
  #reads = 0
  #told: { readonly what: string; readonly version: number; readonly reads: number } | undefined
  readonly #addresses: PacedLook
  readonly #servers: PacedLook
  readonly #sets: PacedLook
  #rules: { readonly token: string | undefined; readonly readAtMs: number } | undefined

  constructor(options: DriftProbeOptions) {
    this.#options = options
    const { clock, control, ledger, senses, planner } = options
    this.#addresses = new PacedLook(clock)
    this.#servers = new PacedLook(clock)
    this.#sets = new PacedLook(clock)
    this.#looks = [
      async () => {
        const ip = first(planner.localIps())
        return ip === undefined || (await senses.isLocal(ip)) ? undefined : notLocal(ip)
      },
      async (signal) => {
        const selector = ledger.someSelector
        return selector === undefined || (await control.has(selector, signal))
          ? undefined
          : `virtual server "${selector}" is missing`
      },
      async () => this.#sets.look(async () => ledger.wrongSet(await senses.setSizes())),
      async () =>
        this.#addresses.look(async () => {
          const found = await senses.localIps()
          for (const ip of planner.localIps()) if (!found.has(ip)) return notLocal(ip)
          return undefined
        }),
      async () =>
        this.#servers.look(async () =>
          ledger.wrongServer(readServerTable(await senses.serverTable(), planner.family)),
        ),
      async (signal) => this.#readRules(signal),
    ]
  }

  /** The kernel is being read. */
  looked(): void {
    this.#reads++
  }

  /** Runs a write of our own, which is nobody's drift. */
  async ownWrite<T>(write: () => Promise<T>): Promise<T> {
    this.#version++
    return this.#options.senses.foreign?.ownWrites(write) ?? write()
  }

  /** `undefined`: all that can be seen is as we left it. Throws `KernelError`. */
  async check(signal: AbortSignal): Promise<Drift | undefined> {
    const version = this.#version
    if (!this.#options.ledger.isKnown) return undefined
    let isClean = true
    for (const look of this.#looks) {
      const what = await look(signal)
      if (version !== this.#version) return undefined
      if (what === undefined) continue
      isClean = false
      if (this.#isVain(what)) continue
      this.#told = { what, version, reads: this.#reads }
      return { what }
    }
    if (isClean) this.#told = undefined
    return undefined
  }

  /** It was told before, then the kernel was read, and there was nothing to repair: a kernel that prints otherwise. */
  #isVain(what: string): boolean {
    const told = this.#told
    return told?.what === what && told.version === this.#version && told.reads < this.#reads
  }

  async #readRules(signal: AbortSignal): Promise<string | undefined> {
    const { clock, iptables, planner } = this.#options
    // Taken before reading: a change in between is then noticed next time.
    const hint = await this.#hint()
    const nowMs = clock.monotonic()
    const restMs = hint.isGiven ? RULES_WITH_HINT_MS : RULES_WITHOUT_HINT_MS
    const known = this.#rules
    if (known !== undefined && known.token === hint.token && nowMs - known.readAtMs < restMs) return undefined
    const wrong = wrongRule(planner.rules(), atOnce(observedRules(await iptables.saveAll(signal))))
    this.#rules = wrong === undefined ? { token: hint.token, readAtMs: nowMs } : undefined
    return wrong
  }

  /** What changes whenever rules do, as far as the kernel tells. */
  async #hint(): Promise<{ readonly isGiven: boolean; readonly token: string | undefined }> {
    const { iptables, senses } = this.#options
    if (iptables.programs.variant === 'legacy') {
      const token = senses.ruleToken()
      return { isGiven: token !== undefined, token }
    }
    if ((await senses.foreign?.happened()) === true) this.#rules = undefined
    return { isGiven: senses.foreign !== undefined, token: '' }
  }
}

/** A look at something that grows with the cluster: it rests in proportion to what it took. */
class PacedLook {
  readonly #clock: Clock
  #dueMs = -Infinity

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async look(work: () => Promise<string | undefined>): Promise<string | undefined> {
    const startedMs = this.#clock.monotonic()
    if (startedMs < this.#dueMs) return undefined
    const what = await work()
    const nowMs = this.#clock.monotonic()
    this.#dueMs = nowMs + Math.min(LONGEST_REST_MS, (nowMs - startedMs) * REST_PER_LOOK)
    return what
  }
}

function notLocal(ip: Ip): string {
  return `address ${ip} is not local any more`
}

function first<T>(items: Iterable<T>): T | undefined {
  for (const item of items) return item
  return undefined
}

/** A line about the first rule or chain that is not as planned. */
function wrongRule(wanted: Iterable<Rule>, found: readonly Rule[]): string | undefined {
  const texts = new Map(found.map(({ key, text }) => [key, text]))
  for (const rule of wanted) {
    const text = texts.get(rule.key)
    const isJump = rule.kind === 'shared-rule'
    if (text === undefined)
      return isJump
        ? `jump from ${rule.table} ${rule.chain} is missing: "${rule.rule}"`
        : `chain ${rule.table} ${rule.name} is missing`
    if (text !== rule.text && !isJump) return `chain ${rule.table} ${rule.name} holds other rules`
  }
  return undefined
}
