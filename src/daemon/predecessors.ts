/**
 * Takes over from who proxied before us on this node: another mode of ours, or kube-proxy in any of its modes.
 *
 * Nothing is removed before our own rules are in place, which is after the first sync. What shares our entry points
 * has gone in that very commit; here the rest follows. What could not be removed is tried again with the next round.
 */
import type { Retirement } from '../backends/backend.ts'
import { createIptablesBackend } from '../backends/iptables/iptables-backend.ts'
import { IpvsBackend } from '../backends/ipvs/ipvs-backend.ts'
import { createNftablesBackend } from '../backends/nftables/nftables-backend.ts'
import { type IptablesVariant, Iptables, findIptables } from '../kernel/iptables.ts'
import type { IpvsControl } from '../kernel/ipvs-control.ts'
import { KernelError } from '../kernel/kernel-error.ts'
import type { Family } from '../net/ip.ts'
import type { Clock } from '../runtime/clock.ts'
import { type Logger, silentLogger } from '../runtime/logger.ts'
import type { BackendWiring } from './create-backend.ts'

/** Somebody may have come back meanwhile, or what failed may work now. */
const ROUND_MS = 3_600_000
/** How often it is looked whether the connections that somebody still serves have ended. */
const WAITING_MS = 10_000
const VARIANTS: readonly IptablesVariant[] = ['nft', 'legacy']
const NOTHING: Retirement = { removed: [], waiting: 0 }

/** What is missing on this host cannot have left anything behind. */
const NOTHING_THERE: ReadonlySet<string> = new Set(['missing-tool', 'unsupported'])

/** One way of proxying that may have been in use here. */
export interface Predecessor {
  /** `nftables`, `iptables (legacy)`. */
  readonly title: string
  /** Removes what is left of it. Throws `KernelError`. */
  clear(signal: AbortSignal): Promise<Retirement>
}

export interface PredecessorsOptions {
  readonly family: Family
  readonly predecessors: readonly Predecessor[]
  /** Nothing is looked for before this resolves: it would be in the way of what clients wait for. */
  readonly firstRound: Promise<unknown>
  readonly clock: Clock
  readonly log: Logger
}

export class Predecessors {
  readonly #options: PredecessorsOptions
  readonly #ready = Promise.withResolvers<undefined>()
  /** The failure that was told last, by predecessor. */
  readonly #told = new Map<Predecessor, string>()

  constructor(options: PredecessorsOptions) {
    this.#options = options
  }

  /** Our rules are in place. */
  synced(): void {
    this.#ready.resolve(undefined)
  }

  /** Runs until the signal is aborted; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, firstRound, predecessors } = this.#options
    signal.addEventListener('abort', () => this.synced(), { once: true })
    await Promise.all([this.#ready.promise, firstRound])
    let pending = predecessors
    let roundAtMs = clock.monotonic() + ROUND_MS
    while (!signal.aborted) {
      pending = await this.#clearAll(pending, signal)
      const untilRoundMs = roundAtMs - clock.monotonic()
      const pauseMs = pending.length > 0 ? Math.min(WAITING_MS, untilRoundMs) : untilRoundMs
      await clock.sleep(Math.max(0, pauseMs), signal).catch(() => undefined)
      if (clock.monotonic() < roundAtMs) continue
      pending = predecessors
      roundAtMs = clock.monotonic() + ROUND_MS
    }
  }

  /** Resolves to those that wait for open connections. One after the other: they use the same locks. */
  async #clearAll(pending: readonly Predecessor[], signal: AbortSignal): Promise<readonly Predecessor[]> {
    const waiting: Predecessor[] = []
    for (const one of pending) {
      if (signal.aborted) break
      const left = await this.#clear(one, signal)
      if (left > 0) waiting.push(one)
    }
    return waiting
  }

  async #clear(one: Predecessor, signal: AbortSignal): Promise<number> {
    const { family, log } = this.#options
    try {
      const { removed, waiting } = await one.clear(signal)
      this.#told.delete(one)
      if (removed.length > 0)
        log.info(
          { family, predecessor: one.title, count: removed.length, waiting },
          'Took over from another mode',
        )
      return waiting
    } catch (error) {
      if (!signal.aborted) this.#tell(one, error)
      return 0
    }
  }

  #tell(one: Predecessor, error: unknown): void {
    if (isNothingThere(error)) return
    const message = error instanceof Error ? error.message : String(error)
    if (this.#told.get(one) === message) return
    this.#told.set(one, message)
    const { family, log } = this.#options
    log.warn({ family, predecessor: one.title, err: error }, 'Cannot remove what another mode left behind')
  }
}

/** Everybody but ourselves. Throws `KernelError`. */
export async function predecessorsOf(wiring: BackendWiring): Promise<readonly Predecessor[]> {
  const { config, exec, options } = wiring
  const { mode } = config
  const wanted = config.iptablesVariant === 'auto' ? undefined : config.iptablesVariant
  const own = mode === 'nftables' ? undefined : (await findIptables(exec, options.family, wanted)).variant
  return [
    ...(mode === 'nftables' ? [] : [formerNftables(wiring)]),
    // Rules in our own variant's tables went with the first sync.
    ...VARIANTS.filter((variant) => variant !== own).map((variant) => formerRules(wiring, variant)),
    // Both variants use the same sets, so these come after the rules of both.
    ...(mode === 'iptables' ? [] : [formerSets(wiring)]),
    ...(mode === 'ipvs' ? [] : [formerIpvs(wiring, 'open connections', own)]),
  ]
}

/** Everybody, ourselves included, and nothing is spared: for `--cleanup`. */
export function everyProxy(wiring: BackendWiring): readonly Predecessor[] {
  return [
    formerNftables(wiring),
    ...VARIANTS.map((variant) => formerRules(wiring, variant)),
    formerSets(wiring),
    formerIpvs(wiring, 'nothing'),
  ]
}

/** Whether a failure to remove means that there is nothing to remove. */
export function isNothingThere(error: unknown): boolean {
  return error instanceof KernelError && NOTHING_THERE.has(error.code)
}

function formerNftables({ exec, options }: BackendWiring): Predecessor {
  return {
    title: 'nftables',
    clear: async (signal) => {
      const backend = await createNftablesBackend({ options, exec, log: silentLogger })
      return { removed: await backend.cleanup(signal), waiting: 0 }
    },
  }
}

/** Takes the rules of the IPVS modes along: they are in the same tables. */
function formerRules({ exec, options }: BackendWiring, variant: IptablesVariant): Predecessor {
  const names = options.family === 'IPv4' ? 'ip_tables_names' : 'ip6_tables_names'
  return {
    title: `iptables (${variant})`,
    clear: async (signal) => {
      // Asking legacy iptables for a table would make it.
      if (variant === 'legacy') {
        const { stdout } = await exec.run({ file: 'cat', args: [`/proc/net/${names}`], signal })
        if (stdout.trim() === '') return NOTHING
      }
      const backend = await createIptablesBackend({ options, exec, variant, log: silentLogger })
      return { removed: await backend.cleanup(signal, { keep: 'sets' }), waiting: 0 }
    },
  }
}

function formerSets({ exec, options }: BackendWiring): Predecessor {
  return {
    title: 'sets of iptables',
    clear: async (signal) => {
      const backend = await createIptablesBackend({ options, exec, log: silentLogger })
      return { removed: await backend.cleanup(signal, { keep: 'rules' }), waiting: 0 }
    },
  }
}

function formerIpvs(
  { config, exec, options, nodeName }: BackendWiring,
  spared: 'open connections' | 'nothing',
  variant?: IptablesVariant,
): Predecessor {
  let backend: IpvsBackend | undefined
  return {
    title: 'ipvs',
    clear: async (signal) => {
      // Without the preparations of a start, which load IPVS and change kernel settings.
      const { exitCode } = await exec.run({ file: 'cat', args: ['/proc/net/ip_vs'], signal })
      backend ??= new IpvsBackend({
        ...{ options, exec, nodeName, log: silentLogger, ipvs: config.ipvs },
        // To find out which one is in use, all rules may have to be read.
        iptables: new Iptables(exec, await findIptables(exec, options.family, variant)),
        ...(exitCode === 0 ? {} : { control: NO_IPVS }),
      })
      if (spared === 'open connections') return backend.retire(signal)
      return { removed: await backend.cleanup(signal), waiting: 0 }
    },
  }
}

/** What a kernel without IPVS has to say. */
const NO_IPVS: IpvsControl = {
  list: async () => Promise.resolve([]),
  restore: async () => Promise.resolve(),
  connections: async () => Promise.resolve(new Map()),
  has: async () => Promise.resolve(false),
  setTimeouts: async () => Promise.resolve(),
}
