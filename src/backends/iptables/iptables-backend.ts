/** The iptables mode: composes plan, script and the programs that carry it out. */
import type { Sliced } from '../../collections/sliced.ts'
import type { Forwarding, PortForwarding } from '../../forwarding/forwarding.ts'
import type { Exec } from '../../kernel/exec.ts'
import { Iptables, type IptablesVariant, findIptables, runOrThrow } from '../../kernel/iptables.ts'
import type { ForeignTransactions } from '../../kernel/foreign-transactions.ts'
import { KernelError } from '../../kernel/kernel-error.ts'
import type { ServicePortKey } from '../../model/service-port.ts'
import type { IptablesObject } from '../../netfilter/iptables/chain.ts'
import { parseCounters, parseDropped } from '../../netfilter/iptables/parse-counters.ts'
import { targetOf } from '../../netfilter/iptables/parse-save.ts'
import { type Changes, type KernelState, observedState } from '../../netfilter/kernel-state.ts'
import { type Clock, systemClock } from '../../runtime/clock.ts'
import { inSlices } from '../../runtime/in-slices.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { Backend, BackendOptions, CleanupOptions, Drift, KernelScript, ScriptStep } from '../backend.ts'
import { withoutConnectionCounts } from '../balancing-at-random.ts'
import { blamedPort } from './blame.ts'
import { FORWARD, INVALID, MARTIAN_FIREWALL, SERVICES } from './names.ts'
import { type BackendObject, ROUTE_LOCALNET, type SetSupport, knownSet } from './objects.ts'
import { observedJumps, observedObjects } from './observe.ts'
import { servesLocalhost } from './plan-node.ts'
import { IptablesPlanner } from './plan.ts'
import { JumpProbe } from './jump-probe.ts'
import { scriptFor } from './script.ts'

export interface IptablesBackendOptions {
  readonly options: BackendOptions
  readonly exec: Exec
  /** `undefined`: the one that this host uses. */
  readonly variant?: IptablesVariant | undefined
  readonly log: Logger
  readonly clock?: Clock
  /** Used in the nft variant alone. */
  readonly foreign?: ForeignTransactions | undefined
}

/** Throws `KernelError` when the programs are missing, too old or not allowed, or the kernel lacks the family. */
export async function createIptablesBackend(wiring: IptablesBackendOptions): Promise<IptablesBackend> {
  const { exec, options, log } = wiring
  const programs = await findIptables(exec, options.family, wiring.variant)
  const iptables = new Iptables(exec, programs)
  await iptables.requireTable('nat')
  const sets = (await hasIpset(exec)) ? 'ipset' : 'none'
  log.info({ family: options.family, variant: programs.variant, sets }, 'Using iptables')
  if (sets === 'none')
    log.warn(
      { family: options.family },
      'Session affinity is limited to 100 clients per endpoint without ipset',
    )
  return new IptablesBackend({ ...wiring, iptables, sets })
}

async function hasIpset(exec: Exec): Promise<boolean> {
  try {
    return (await exec.run({ file: 'ipset', args: ['list', '-name'] })).exitCode === 0
  } catch (error) {
    if (error instanceof KernelError && error.code === 'missing-tool') return false
    throw error
  }
}

export class IptablesBackend implements Backend<BackendObject> {
  readonly name = 'iptables'
  readonly #options: BackendOptions
  readonly #exec: Exec
  readonly #iptables: Iptables
  readonly #sets: SetSupport
  readonly #clock: Clock
  readonly #planner: IptablesPlanner
  readonly #probe: JumpProbe
  #planned: Forwarding | undefined
  /** What the first chain of `nat` should be. */
  #servicesText: string | undefined

  constructor(wiring: IptablesBackendOptions & { readonly iptables: Iptables; readonly sets: SetSupport }) {
    this.#options = wiring.options
    this.#exec = wiring.exec
    this.#iptables = wiring.iptables
    this.#sets = wiring.sets
    this.#clock = wiring.clock ?? systemClock
    this.#planner = new IptablesPlanner(wiring.options, wiring.sets)
    const foreign = wiring.iptables.programs.variant === 'nft' ? wiring.foreign : undefined
    this.#probe = new JumpProbe({ iptables: wiring.iptables, clock: this.#clock, foreign })
  }

  get family() {
    return this.#options.family
  }

  get variant(): IptablesVariant {
    return this.#iptables.programs.variant
  }

  plan(forwarding: Forwarding): KernelState<BackendObject> {
    this.#planned = forwarding
    const state = this.#planner.plan(forwarding)
    this.#servicesText = state.get('root services')?.get(`nat/${SERVICES}`)?.text
    return state
  }

  script(changes: Changes<BackendObject>): Sliced<KernelScript> {
    return scriptFor(changes, this.#iptables.programs.restore)
  }

  async observe(signal: AbortSignal): Promise<KernelState<BackendObject>> {
    const localhost = this.#planned !== undefined && servesLocalhost(this.#planned.node, this.family)
    const [text, sets, settings] = await Promise.all([
      this.#saved(signal),
      this.#observedSets(signal),
      localhost ? this.#observedSettings(signal) : [],
    ])
    const rules = await inSlices(observedObjects(text, { expectsGuard: localhost }))
    return observedState([...rules, ...sets, ...settings])
  }

  async apply(script: KernelScript, signal: AbortSignal): Promise<void> {
    this.#probe.forget()
    await this.#probe.ownWrite(async () => {
      for (const step of script) await this.#applyStep(step, signal)
    })
  }

  blame(error: unknown, forwarding: Forwarding): ServicePortKey | undefined {
    if (!(error instanceof KernelError) || error.line === undefined) return undefined
    return blamedPort(error.script.split('\n')[error.line - 1] ?? '', forwarding)
  }

  async probe(signal: AbortSignal): Promise<Drift | undefined> {
    return this.#probe.check(this.#servicesText, signal)
  }

  substitution(port: PortForwarding): string | undefined {
    return withoutConnectionCounts(port, this.name)
  }

  async counters(keys: ReadonlySet<string>, signal: AbortSignal) {
    return countersOf(this.#iptables, keys, signal)
  }

  async invalidDropped(signal: AbortSignal): Promise<number> {
    return parseDropped(await this.#iptables.saveWithCounters('filter', signal), [INVALID, FORWARD])
  }

  async cleanup(signal: AbortSignal, { keep }: CleanupOptions = {}): Promise<readonly string[]> {
    const rules = keep === 'rules' ? [] : await inSlices(rulesIn(await this.#saved(signal)))
    const sets = keep === 'sets' ? [] : await this.#observedSets(signal)
    const removed = [...rules, ...sets]
    if (removed.length === 0) return []
    await this.apply(await inSlices(this.script({ created: [], updated: [], removed })), signal)
    return removed.map((object) =>
      object.kind === 'shared-rule' ? `rule ${object.key}` : `${object.kind} ${object.key}`,
    )
  }

  async #saved(signal: AbortSignal): Promise<string> {
    const tables = ['nat', 'filter', 'mangle']
    return (await Promise.all(tables.map((table) => this.#iptables.save(table, signal)))).join('')
  }

  async #observedSets(signal: AbortSignal) {
    if (this.#sets === 'none') return []
    const request = { file: 'ipset', args: ['list', '-name'], signal }
    const { stdout } = await runOrThrow(this.#exec, request, 'Cannot list sets')
    return stdout.split('\n').flatMap((name) => knownSet(name, this.family) ?? [])
  }

  async #observedSettings(signal: AbortSignal) {
    const request = { file: 'cat', args: [`/proc/sys/${ROUTE_LOCALNET.key}`], signal }
    const { stdout } = await runOrThrow(this.#exec, request, 'Cannot read a kernel setting')
    return [{ ...ROUTE_LOCALNET, text: stdout.trim() }]
  }

  /** Sets are released a moment after the rules that refer to them. */
  async #applyStep(step: ScriptStep, signal: AbortSignal, attempts = 20): Promise<void> {
    const { file, args, stdin, purpose } = step
    try {
      await runOrThrow(this.#exec, { file, args, stdin, signal }, `Cannot ${purpose} for ${this.family}`)
    } catch (error) {
      const again = file === 'ipset' && error instanceof KernelError && error.code === 'busy' && attempts > 1
      if (!again) throw error
      await this.#clock.sleep(50, signal)
      await this.#applyStep({ ...step, stdin: remaining(stdin, error.line) }, signal, attempts - 1)
    }
  }
}

/** Packets by rule of the chains among these object keys, `table/chain`. */
async function countersOf(
  iptables: Iptables,
  keys: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const tables = (['nat', 'filter'] as const).filter((table) =>
    [...keys].some((key) => key.startsWith(`${table}/`)),
  )
  const texts = await Promise.all(tables.map((table) => iptables.saveWithCounters(table, signal)))
  return parseCounters(texts.join(''), keys)
}

/** All that is ours or a predecessor's, every copy of it. */
function* rulesIn(text: string): Sliced<readonly IptablesObject[]> {
  const jumps = yield* observedJumps(text)
  const known = new Set(jumps.map(({ key }) => key))
  const others = (yield* observedObjects(text, { expectsGuard: false })).filter(
    ({ kind, key }) => kind === 'chain' || (kind === 'shared-rule' && !known.has(key)),
  )
  return [...jumps, ...others.filter((object) => !isMartianJump(object))]
}

/** Kubelet's jump stays with its chain. */
function isMartianJump(object: IptablesObject): boolean {
  return object.kind === 'shared-rule' && targetOf(object.rule) === MARTIAN_FIREWALL
}

/** A restore of sets stops at the first line that fails; those before it are done. */
function remaining(stdin: string, line: number | undefined): string {
  return line === undefined
    ? stdin
    : stdin
        .split('\n')
        .slice(line - 1)
        .join('\n')
}
