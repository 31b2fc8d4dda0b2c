/**
 * Makes the kernel say what the forwarding decides, for one backend and one family.
 *
 * There is no full and no partial sync. We hold a belief about what is in the kernel; the work is the difference
 * between what we want and that belief. The belief is given up before every write and regained when the kernel has
 * accepted it; without a belief (first start, failed write, drift, periodic resync) the kernel is read. So start,
 * crash recovery, repair and an ordinary change are one path.
 *
 * A service port that the kernel refuses is set apart: all others are programmed as if it did not exist, and it is
 * tried again when it changes or after a while. Which one it is comes from the tool's own words (`blame`) or, when the
 * tool does not say, from halving the set of suspects.
 */
import type { Backend, KernelScript } from '../backends/backend.ts'
import { ShardedMap } from '../collections/sharded-map.ts'
import type { Forwarding, PortForwarding } from '../forwarding/forwarding.ts'
import { KernelError } from '../kernel/kernel-error.ts'
import type { ServicePortKey } from '../model/service-port.ts'
import {
  type Changes,
  isEmpty,
  isSetting,
  type KernelObject,
  type KernelState,
  slicedDiff,
} from '../netfilter/kernel-state.ts'
import type { Clock } from '../runtime/clock.ts'
import { inSlices } from '../runtime/in-slices.ts'
import { type Planned, plansInSlices } from './plan-in-slices.ts'
import { writeWhilePlanning } from './write-while-planning.ts'

/** After so many refusals without a single acceptance the fault is not in the service ports. */
const GENERAL_FAULT = 8

/** How long a refused service port that does not change is left out before it is tried again. */
const RETRY_REFUSED_MS = 60_000

/** A service port that the kernel refuses, with the kernel's reason. */
export interface RefusedPort {
  readonly port: PortForwarding
  readonly error: KernelError
  readonly retryAtMs: number
}

export interface SyncResult {
  readonly created: number
  readonly updated: number
  readonly removed: number
  /** Bytes of standard input given to tools. */
  readonly scriptBytes: number
  /** What was given to them, of all writes. */
  readonly steps: KernelScript
  /** The kernel was read because there was no belief. */
  readonly observed: boolean
}

export interface ReconcilerOptions<O extends KernelObject> {
  readonly backend: Backend<O>
  readonly clock: Clock
  /** Told when a port is refused and when it is accepted again (`error` undefined). */
  readonly onRefusal: (port: PortForwarding, error: KernelError | undefined) => void
}

export class Reconciler<O extends KernelObject> {
  readonly #options: ReconcilerOptions<O>
  readonly #refused = new Map<ServicePortKey, RefusedPort>()
  #believed: KernelState<O> | undefined
  #applied: Forwarding | undefined
  /** What `begin` did; it counts as the next sync's. */
  #begun: Totals | undefined
  /** The kernel has what `begin` wrote, and answers for nobody else. */
  #isCold = false

  constructor(options: ReconcilerOptions<O>) {
    this.#options = options
  }

  get refused(): ReadonlyMap<ServicePortKey, RefusedPort> {
    return this.#refused
  }

  /** What we believe is in the kernel; `undefined` when we would have to look. */
  get believed(): KernelState<O> | undefined {
    return this.#believed
  }

  /** Gives up the belief: the next sync reads the kernel. For drift and periodic resync. */
  forget(): void {
    this.#believed = undefined
  }

  /**
   * Cold start: programs what everything else on the node waits for before the rest is even decided. Only where nothing
   * that exists would be changed or removed by it: then the kernel answers for nobody yet. What the kernel refuses is
   * left to the sync, which finds who is to blame. Throws `KernelError` when the kernel cannot be read or written.
   */
  async begin(first: Forwarding, signal: AbortSignal): Promise<void> {
    const total = nothingYet()
    const have = await this.#look(first, signal)
    this.#believed = have
    this.#begun = total
    total.observed = true
    const state = this.#options.backend.plan(first)
    const changes = await inSlices(slicedDiff(state, have))
    if ([...changes.updated.map(({ to }) => to), ...changes.removed].some((object) => !isSetting(object)))
      return
    try {
      const write = await this.#prepare(changes, { forwarding: first, state }, { total, signal })
      await write()
      this.#isCold = true
    } catch (error) {
      if (!isRejection(error)) throw error
    }
  }

  /** Throws `KernelError` when the kernel refused something that is no single service port's fault. */
  async sync(forwarding: Forwarding, signal: AbortSignal): Promise<SyncResult> {
    this.#readmit(forwarding)
    const total = this.#begun ?? nothingYet()
    this.#begun = undefined
    const accepted = without(forwarding, this.#refused.keys())
    try {
      await this.#bring(accepted, total, signal)
    } catch (error) {
      if (!isRejection(error)) throw error
      await this.#isolate(accepted, { error, total, signal })
    }
    return total
  }

  /** One attempt, all or nothing as far as the backend can. */
  async #bring(forwarding: Forwarding, total: Totals, signal: AbortSignal): Promise<void> {
    const { backend } = this.#options
    const have = this.#believed ?? (await this.#look(forwarding, signal))
    total.observed ||= this.#believed === undefined
    const inParts = this.#isCold && backend.addsCheaply === true
    this.#isCold = false
    await writeWhilePlanning(plansInSlices(backend, forwarding, this.#applied), {
      inParts,
      prepare: async (to, from) => {
        const changes = await inSlices(slicedDiff(to.state, from?.state ?? have))
        return this.#prepare(changes, to, { total, signal })
      },
    })
  }

  /** Reads the kernel. What a backend has to look for may depend on the node's settings, so it is told those first. */
  async #look(forwarding: Forwarding, signal: AbortSignal): Promise<KernelState<O>> {
    const { backend } = this.#options
    backend.plan({ ...forwarding, ports: this.#applied?.ports ?? ShardedMap.empty() })
    return backend.observe(signal)
  }

  /** Writes the script; what it resolves to gives it to the kernel, which then has all of `to`. */
  async #prepare(
    changes: Changes<O>,
    to: Planned<O>,
    { total, signal }: WriteContext,
  ): Promise<() => Promise<void>> {
    const { backend } = this.#options
    const script = isEmpty(changes) ? [] : await inSlices(backend.script(changes))
    return async () => {
      this.#believed = undefined
      if (!isEmpty(changes)) await backend.apply(script, signal)
      this.#believed = to.state
      this.#applied = to.forwarding
      total.created += changes.created.length
      total.updated += changes.updated.length
      total.removed += changes.removed.length
      for (const step of script) total.scriptBytes += step.stdin.length
      total.steps = [...total.steps, ...script]
    }
  }

  /** Programs all of `forwarding` but the service ports that the kernel refuses. */
  async #isolate(forwarding: Forwarding, context: Isolation): Promise<void> {
    const blamed = this.#options.backend.blame(context.error, forwarding)
    if (blamed !== undefined && forwarding.ports.has(blamed)) {
      this.#refuse(forwarding, blamed, context.error)
      const rest = without(forwarding, [blamed])
      try {
        await this.#bring(rest, context.total, context.signal)
      } catch (error) {
        if (!isRejection(error)) throw error
        await this.#isolate(rest, { ...context, error })
      }
      return
    }
    const suspects = [...changedKeys(this.#applied, forwarding)]
    if (suspects.length === 0) throw context.error
    const tally = { accepted: 0, refused: [] }
    await this.#halve(without(forwarding, suspects), { ...context, forwarding, suspects, tally })
  }

  /** `base` is accepted by the kernel (or nothing is); adds every suspect that is no culprit. Resolves to the result. */
  async #halve(base: Forwarding, context: Isolation & Suspects): Promise<Forwarding> {
    const { suspects, forwarding } = context
    const tried = adding(base, forwarding, suspects)
    try {
      await this.#bring(tried, context.total, context.signal)
      context.tally.accepted += suspects.length
      return tried
    } catch (error) {
      if (!isRejection(error)) throw error
      const [only] = suspects
      if (suspects.length === 1 && only !== undefined) {
        await this.#bring(base, context.total, context.signal)
        this.#refuse(forwarding, only, error)
        this.#doubtIsGeneral(context.tally, only, error)
        return base
      }
      const middle = suspects.length >> 1
      const left = await this.#halve(base, { ...context, error, suspects: suspects.slice(0, middle) })
      return this.#halve(left, { ...context, error, suspects: suspects.slice(middle) })
    }
  }

  /** When the kernel refuses one after the other and accepts none, no single service port is to blame. */
  #doubtIsGeneral(tally: Tally, key: ServicePortKey, error: KernelError): void {
    tally.refused.push(key)
    if (tally.accepted > 0 || tally.refused.length < GENERAL_FAULT) return
    for (const innocent of tally.refused) this.#refused.delete(innocent)
    throw error
  }

  #refuse(forwarding: Forwarding, key: ServicePortKey, error: KernelError): void {
    const port = forwarding.ports.get(key)
    if (port === undefined) return
    const known = this.#refused.get(key)
    this.#refused.set(key, { port, error, retryAtMs: this.#options.clock.now() + RETRY_REFUSED_MS })
    if (known?.port !== port) this.#options.onRefusal(port, error)
  }

  /** Refused ports that changed, went, or have waited long enough get another chance. */
  #readmit(forwarding: Forwarding): void {
    for (const [key, refused] of this.#refused) {
      const current = forwarding.ports.get(key)
      if (current === refused.port && refused.retryAtMs > this.#options.clock.now()) continue
      this.#refused.delete(key)
      if (current !== refused.port) this.#options.onRefusal(refused.port, undefined)
    }
  }
}

type Totals = { -readonly [Key in keyof SyncResult]: SyncResult[Key] }

function nothingYet(): Totals {
  return {
    ...{ created: 0, updated: 0, removed: 0, scriptBytes: 0, steps: [] },
    observed: false,
  }
}

interface WriteContext {
  readonly total: Totals
  readonly signal: AbortSignal
}

interface Isolation extends WriteContext {
  readonly error: KernelError
}

interface Tally {
  accepted: number
  readonly refused: ServicePortKey[]
}

interface Suspects {
  readonly tally: Tally
  readonly forwarding: Forwarding
  readonly suspects: readonly ServicePortKey[]
}

function isRejection(error: unknown): error is KernelError {
  return error instanceof KernelError && error.code === 'rejected'
}

function without(forwarding: Forwarding, keys: Iterable<ServicePortKey>): Forwarding {
  const ports = forwarding.ports.with([...keys].map((key) => [key, undefined] as const))
  return ports === forwarding.ports ? forwarding : { ...forwarding, ports }
}

function adding(base: Forwarding, from: Forwarding, keys: readonly ServicePortKey[]): Forwarding {
  return { ...from, ports: base.ports.with(keys.map((key) => [key, from.ports.get(key)] as const)) }
}

function* changedKeys(applied: Forwarding | undefined, next: Forwarding): Iterable<ServicePortKey> {
  if (applied === undefined) yield* next.ports.keys()
  else for (const { key, to } of applied.ports.changesTo(next.ports)) if (to !== undefined) yield key
}
