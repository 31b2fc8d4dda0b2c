/**
 * The IPVS mode: composes plan, script and the programs that carry it out. One instance per family.
 *
 * Two things are not in the state that the plan wants. Servers that drain are the kernel's and `DrainList`'s business:
 * the state has forgotten them, `maintain` takes them out when they are done. And schedulers that the kernel lacks are
 * found out when they are first used: the script is carried out with the default one instead, and the next plan knows.
 */
import { release } from 'node:os'
import type { Sliced } from '../../collections/sliced.ts'
import type { Forwarding, PortForwarding } from '../../forwarding/forwarding.ts'
import type { Exec, ExecRequest } from '../../kernel/exec.ts'
import { IpLink } from '../../kernel/ip-link.ts'
import { Ipset } from '../../kernel/ipset.ts'
import { Iptables, type IptablesVariant, findIptables, runOrThrow } from '../../kernel/iptables.ts'
import { Ipvsadm } from '../../kernel/ipvsadm.ts'
import type { IpvsControl } from '../../kernel/ipvs-control.ts'
import type { IpvsSenses } from '../../kernel/ipvs-senses.ts'
import { IpvsSchedulers } from '../../kernel/ipvs-schedulers.ts'
import { KernelError } from '../../kernel/kernel-error.ts'
import { Sysctls } from '../../kernel/sysctl.ts'
import type { ServicePortKey } from '../../model/service-port.ts'
import { renderCommand } from '../../netfilter/ipvs/command.ts'
import { dummyDevice } from '../../netfilter/ipvs/local-route.ts'
import { parseConnectionCounts, parsePacketCounts } from '../../netfilter/ipvs/parse-list.ts'
import { type IpvsServer, isDrained } from '../../netfilter/ipvs/virtual-server.ts'
import type { Changes, KernelState } from '../../netfilter/kernel-state.ts'
import { emptyState, objectsOf, observedState } from '../../netfilter/kernel-state.ts'
import { type Clock, systemClock } from '../../runtime/clock.ts'
import { inSlices } from '../../runtime/in-slices.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { Backend, BackendOptions, Drift, KernelScript, Retirement, ScriptStep } from '../backend.ts'
import { blamedKey } from './blame.ts'
import { DrainList, drainSecondsOf } from './drain.ts'
import { DEFAULT_IPVS_SETTINGS, type IpvsSettings, defaultScheduler, wantedSysctls } from './ipvs-settings.ts'
import { DEVICE, KEEPER } from './names.ts'
import { observedRules, observedSets, ownServers, ownership, recordedElements } from './observe.ts'
import type { IpvsObject } from './plan-port.ts'
import { chooseScheduler } from './plan-scheduler.ts'
import { IpvsPlanner } from './plan.ts'
import { DriftProbe } from './drift-probe.ts'
import { ExcludedServers } from './excluded-servers.ts'
import { KernelLedger } from './kernel-ledger.ts'
import { leavingObjects } from './retire.ts'
import { scriptFor } from './script.ts'
import { ToolProbe } from './tool-probe.ts'

export interface IpvsBackendOptions {
  readonly options: BackendOptions
  readonly exec: Exec
  readonly log: Logger
  /** Seeds where round robin begins, so that nodes differ. */
  readonly nodeName: string
  readonly ipvs?: Partial<IpvsSettings>
  /** `undefined`: the variant that this host uses. */
  readonly variant?: IptablesVariant | undefined
  /** How the kernel's virtual servers are reached; default: the program `ipvsadm`. */
  readonly control?: IpvsControl
  /**
   * How drift is noticed without running programs, in the namespace of this process; asked for when it is first looked
   * for. Default, and where it resolves to `undefined`: by running programs.
   */
  readonly senses?: () => Promise<IpvsSenses | undefined>
  readonly clock?: Clock
}

interface Wiring extends IpvsBackendOptions {
  readonly iptables: Iptables
}

/**
 * Looks at the kernel and prepares what holds for the life of the process. Throws `KernelError` when `ip_vs`, a program
 * or the default scheduler is missing, or a setting cannot be written.
 */
export async function createIpvsBackend(
  options: IpvsBackendOptions,
  signal?: AbortSignal,
): Promise<IpvsBackend> {
  const programs = await findIptables(options.exec, options.options.family, options.variant)
  const backend = new IpvsBackend({ ...options, iptables: new Iptables(options.exec, programs) })
  await backend.prepare(signal ?? new AbortController().signal)
  return backend
}

export class IpvsBackend implements Backend<IpvsObject> {
  readonly name = 'ipvs'
  readonly #options: BackendOptions
  readonly #settings: IpvsSettings
  readonly #exec: Exec
  readonly #log: Logger
  readonly #clock: Clock
  readonly #control: IpvsControl
  readonly #iptables: Iptables
  readonly #ipset: Ipset
  readonly #ipLink: IpLink
  readonly #planner: IpvsPlanner
  readonly #drains: DrainList
  readonly #excluded: ExcludedServers
  readonly #schedulers: IpvsSchedulers
  readonly #ledger = new KernelLedger()
  readonly #openSenses: () => Promise<IpvsSenses | undefined>
  /** One of the two looks for drift. */
  #probe: DriftProbe | undefined
  #isProbeOpened = false
  readonly #toolProbe: ToolProbe
  /** What each script is for, for those who hand it back to be applied. */
  readonly #changes = new WeakMap<KernelScript, Changes<IpvsObject>>()
  /** How long the servers that the last script takes out may drain. */
  #drainSeconds: ReadonlyMap<string, number | undefined> = new Map()

  constructor(wiring: Wiring) {
    const { exec, iptables, log, options } = wiring
    this.#options = options
    this.#settings = { ...DEFAULT_IPVS_SETTINGS, ...wiring.ipvs }
    this.#exec = exec
    this.#log = log
    this.#clock = wiring.clock ?? systemClock
    this.#control = wiring.control ?? new Ipvsadm(exec)
    this.#iptables = iptables
    this.#ipset = new Ipset(exec)
    this.#ipLink = new IpLink(exec)
    this.#planner = new IpvsPlanner({ options, nodeName: wiring.nodeName })
    this.#drains = new DrainList(this.#settings.drainTimeoutMs)
    this.#excluded = new ExcludedServers(this.#settings.excludeCidrs)
    this.#schedulers = new IpvsSchedulers(this.#control, defaultScheduler(this.#settings))
    this.#openSenses = wiring.senses ?? (() => Promise.resolve(undefined))
    const parts = { family: options.family, control: this.#control, iptables }
    this.#toolProbe = new ToolProbe({ ...parts, ipset: this.#ipset, ipLink: this.#ipLink })
  }

  get family() {
    return this.#options.family
  }

  /** Kernel settings and the default scheduler; `createIpvsBackend` calls it. */
  async prepare(signal: AbortSignal): Promise<void> {
    // The first use of IPVS also makes the kernel load it, and with it its settings.
    await this.#schedulers.requireDefault(signal)
    // A program that is missing is told now, and not by the first sync.
    await this.#ipset.names(signal)
    await this.#ipLink.view(DEVICE, this.family, signal)
    const wanted = wantedSysctls(this.#settings, release())
    const changed = await new Sysctls(this.#exec).ensureAll(wanted, signal)
    if (changed.length > 0) this.#log.info({ family: this.family, keys: changed }, 'Changed kernel settings')
    const seconds = (ms: number) => Math.ceil(ms / 1000)
    const { tcpTimeoutMs, tcpFinTimeoutMs, udpTimeoutMs } = this.#settings
    const timeouts = {
      tcpSeconds: seconds(tcpTimeoutMs),
      tcpFinSeconds: seconds(tcpFinTimeoutMs),
      udpSeconds: seconds(udpTimeoutMs),
    }
    if (Object.values(timeouts).some((value) => value > 0)) await this.#control.setTimeouts(timeouts, signal)
  }

  plan(forwarding: Forwarding): KernelState<IpvsObject> {
    return this.#planner.plan(forwarding, this.#schedulers.context)
  }

  *script(changes: Changes<IpvsObject>): Sliced<KernelScript> {
    this.#drainSeconds = drainSecondsOf(changes.removed)
    const { restore: restoreProgram } = this.#iptables.programs
    const context = { family: this.family, draining: this.#drains.keys, restoreProgram }
    const script = yield* scriptFor(changes, context)
    this.#changes.set(script, changes)
    return script
  }

  async observe(signal: AbortSignal): Promise<KernelState<IpvsObject>> {
    const objects = await this.#present(this.#observedRules(signal), signal)
    this.#ledger.observed(objects)
    return objects.every(({ kind }) => kind === 'device') ? emptyState() : observedState(objects)
  }

  async #present(reading: Promise<readonly IpvsObject[]>, signal: AbortSignal) {
    const { family } = this
    this.#ledger.forget()
    this.#probe?.looked()
    const [sets, rules, servers, view] = await Promise.all([
      this.#ipset.save(signal),
      reading,
      this.#control.list(signal),
      this.#ipLink.view(DEVICE, family, signal),
    ])
    const routes = view.state === undefined ? [] : await this.#ipLink.localRoutes(DEVICE, family, signal)
    const bound = view.bound.filter(({ ip }) => ip !== KEEPER)
    const isOurs = ownership({
      family,
      elements: recordedElements(sets, family),
      routes: [...routes, ...bound],
      nodeIps: view.others,
      planned: this.#planner.selectors(),
    })
    const selectors = new Set(servers.map(({ selector }) => selector))
    this.#excluded.observe(selectors, isOurs)
    const isOwn = (selector: string) =>
      this.#excluded.covers(selector) ? !this.#excluded.isForeign(selector) : isOurs(selector)
    return [
      ...observedSets(sets, family),
      ...rules,
      ...(view.state === 'up' ? [dummyDevice(DEVICE)] : []),
      ...routes,
      ...bound,
      ...this.#withoutDraining(ownServers(servers, isOwn)),
    ]
  }

  async apply(script: KernelScript, signal: AbortSignal): Promise<void> {
    this.#ledger.forget()
    this.#toolProbe.forget()
    const write = async () => this.#applySteps(script, signal)
    const written = await (this.#probe === undefined ? write() : this.#probe.ownWrite(write))
    const changes = this.#changes.get(script)
    if (changes !== undefined) this.#ledger.written(changes, written)
    this.#toolProbe.watch(script, this.#planner.addressCount)
  }

  substitution(port: PortForwarding): string | undefined {
    return chooseScheduler(port, this.#schedulers.context).problem
  }

  blame(error: unknown, _forwarding: Forwarding): ServicePortKey | undefined {
    if (!(error instanceof KernelError) || error.line === undefined) return undefined
    const key = blamedKey(error.script.split('\n')[error.line - 1] ?? '')
    return key === undefined ? undefined : this.#planner.ownerOf(key)
  }

  async probe(signal: AbortSignal): Promise<Drift | undefined> {
    if (!this.#isProbeOpened) this.#probe = await this.#openProbe()
    return (this.#probe ?? this.#toolProbe).check(signal)
  }

  /**
   * Takes out servers that have drained; to be called about once a second, and costs nothing while none drains.
   * Resolves to whether something changed. Throws `KernelError`.
   */
  async maintain(signal: AbortSignal): Promise<boolean> {
    if (this.#drains.size === 0) return false
    const open = await this.#control.connections(this.#drains.selectors, signal)
    const due = this.#drains.due(open, this.#clock.now())
    if (due.length === 0) return false
    for (const server of due) this.#drains.forget(server)
    const lines = due.map((server) => renderCommand({ verb: 'delete', server }))
    try {
      await this.#control.restore(`${lines.join('\n')}\n`, signal)
    } catch (error) {
      // Gone already, with its virtual server or by another hand: that is what was wanted.
      if (!(error instanceof KernelError) || error.code !== 'missing-object') throw error
    }
    this.#log.debug({ family: this.family, count: due.length }, 'Removed drained servers')
    return true
  }

  /** Of servers; the sets and the few rules beside them are the same for all Services. */
  async counters(keys: ReadonlySet<string>, signal: AbortSignal) {
    const found = new Map<string, readonly number[]>()
    for (const key of keys) {
      const selector = /^virtual (.+)$/.exec(key)?.[1]
      if (selector === undefined) continue
      const args = ['-L', '-n', '--stats', '--exact', ...selector.split(' ')]
      const { stdout } = await this.#exec.run({ file: 'ipvsadm', args, signal })
      for (const [counted, packets] of parsePacketCounts(stdout))
        if (keys.has(counted)) found.set(counted, [packets])
    }
    return found
  }

  async connections(signal: AbortSignal): Promise<ReadonlyMap<ServicePortKey, number>> {
    const request = { file: 'ipvsadm', args: ['-L', '-n', '--exact'], signal }
    const { stdout } = await runOrThrow(this.#exec, request, 'Cannot count connections')
    const owners = this.#planner.owners()
    const counts = new Map<ServicePortKey, number>()
    for (const [key, count] of parseConnectionCounts(stdout)) {
      const owner = owners.get(/^real (.+) \S+$/.exec(key)?.[1] ?? '')
      if (owner !== undefined) counts.set(owner, (counts.get(owner) ?? 0) + count)
    }
    return counts
  }

  async cleanup(signal: AbortSignal): Promise<readonly string[]> {
    const removed = objectsOf(await this.observe(signal)).filter(({ kind }) => kind !== 'device')
    await this.apply(await inSlices(this.script({ created: [], updated: [], removed })), signal)
    const lines = removed.map(({ key }) => key)
    return (await this.#removeDevice(signal)) ? [...lines, `device ${DEVICE}`] : lines
  }

  async retire(signal: AbortSignal): Promise<Retirement> {
    // Rules are left alone, and they may be all those of another mode, which take long to read.
    const objects = await this.#present(Promise.resolve([]), signal)
    const selectors = objects.flatMap((object) => (object.kind === 'virtual-server' ? [object.selector] : []))
    const open = await this.#control.connections(new Set(selectors), signal)
    const { removed, waiting } = leavingObjects(objects, open)
    await this.apply(await inSlices(this.script({ created: [], updated: [], removed })), signal)
    const lines = removed.map(({ key }) => key)
    const isLast = waiting === 0 && (await this.#removeDevice(signal))
    return { removed: isLast ? [...lines, `device ${DEVICE}`] : lines, waiting }
  }

  /** Once for each backend that looks for drift: others are made to read the kernel a single time. */
  async #openProbe(): Promise<DriftProbe | undefined> {
    this.#isProbeOpened = true
    const senses = await this.#openSenses()
    if (senses === undefined) return undefined
    return new DriftProbe({
      senses,
      ledger: this.#ledger,
      planner: this.#planner,
      control: this.#control,
      iptables: this.#iptables,
      clock: this.#clock,
    })
  }

  /** Drained servers are not part of the state: they go by themselves, or come back by a change. */
  #withoutDraining(servers: readonly IpvsServer[]): readonly IpvsServer[] {
    const drained = new Set<string>()
    const nowMs = this.#clock.now()
    const others = servers.filter((server) => {
      if (server.kind !== 'real-server' || !isDrained(server)) return true
      drained.add(server.key)
      this.#drains.found(server, nowMs)
      return false
    })
    this.#drains.keepOnly(drained)
    return others
  }

  /** Resolves to the commands for virtual servers that were carried out. */
  async #applySteps(script: KernelScript, signal: AbortSignal): Promise<readonly string[]> {
    const written: string[] = []
    for (const step of script) {
      if (step.file === 'ipvsadm') written.push(await this.#writeServers(step.stdin, signal))
      else await this.#applyStep(step, signal)
    }
    return written
  }

  async #applyStep({ file, args, stdin, purpose }: ScriptStep, signal: AbortSignal): Promise<void> {
    const request = { file, args, stdin, signal, timeoutMs: 300_000 }
    // Making the device fails where it is made already; whether it is there shows in the next step.
    if (args.includes('-force')) await this.#exec.run(request)
    else await this.#runPatiently(request, `Cannot ${purpose} for ${this.family}`)
  }

  /** Sets are released a moment after the rules that refer to them. */
  async #runPatiently(
    request: ExecRequest & { signal: AbortSignal },
    action: string,
    attempts = 20,
  ): Promise<void> {
    try {
      await runOrThrow(this.#exec, request, action)
    } catch (error) {
      const again = request.file === 'ipset' && error instanceof KernelError && error.code === 'busy'
      if (!again || attempts === 0) throw error
      await this.#clock.sleep(50, request.signal)
      const lines = (request.stdin ?? '').split('\n').slice((error.line ?? 1) - 1)
      await this.#runPatiently({ ...request, stdin: lines.join('\n') }, action, attempts - 1)
    }
  }

  async #writeServers(stdin: string, signal: AbortSignal): Promise<string> {
    const foreign = this.#excluded.claim(stdin)
    if (foreign !== undefined) throw takenBySomebodyElse(stdin, foreign)
    const script = await this.#schedulers.withAvailable(stdin, signal)
    await this.#control.restore(script, signal)
    this.#drains.follow(script, this.#clock.now(), (key) => this.#drainSeconds.get(key))
    return script
  }

  async #observedRules(signal: AbortSignal): Promise<readonly IpvsObject[]> {
    const tables = ['nat', 'filter', 'mangle']
    const texts = await Promise.all(tables.map((table) => this.#iptables.save(table, signal)))
    return inSlices(observedRules(texts.join('')))
  }

  /** The device serves both families, so the last one takes it away. */
  async #removeDevice(signal: AbortSignal): Promise<boolean> {
    for (const family of ['IPv4', 'IPv6'] as const) {
      const { state, bound } = await this.#ipLink.view(DEVICE, family, signal)
      if (state === undefined) return false
      const routes = await this.#ipLink.localRoutes(DEVICE, family, signal)
      if (routes.length > 0 || bound.some(({ ip }) => ip !== KEEPER)) return false
    }
    const request = { file: 'ip', args: ['link', 'del', DEVICE], signal }
    return (await this.#exec.run(request)).exitCode === 0
  }
}

function takenBySomebodyElse(script: string, line: number): KernelError {
  const remedy = 'give the Service another address, or take its network out of --ipvs-exclude-cidrs'
  const text = script.split('\n')[line - 1] ?? ''
  return new KernelError(`Cannot add "${text}": somebody else serves it in an excluded network; ${remedy}`, {
    code: 'rejected',
    command: ['ipvsadm', '--restore'],
    exitCode: undefined,
    stderr: '',
    script,
    line,
    remedy,
  })
}
