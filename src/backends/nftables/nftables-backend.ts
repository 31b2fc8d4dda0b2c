/** The nftables mode: composes plan, script and the program that carries it out. */
import type { Sliced } from '../../collections/sliced.ts'
import type { Forwarding, PortForwarding } from '../../forwarding/forwarding.ts'
import { classifyFailure } from '../../kernel/classify-failure.ts'
import type { Exec } from '../../kernel/exec.ts'
import type { ForeignTransactions } from '../../kernel/foreign-transactions.ts'
import { KernelError } from '../../kernel/kernel-error.ts'
import type { NfTables } from '../../kernel/nf-tables.ts'
import type { NftElements } from '../../kernel/nft-elements.ts'
import { Nft } from '../../kernel/nft.ts'
import type { ServicePortKey } from '../../model/service-port.ts'
import { type Changes, type KernelState, emptyState, observedState } from '../../netfilter/kernel-state.ts'
import { type ElementTypes, elementTypes } from '../../netfilter/nftables/element-message.ts'
import type { TableName } from '../../netfilter/nftables/render-script.ts'
import { type Clock, systemClock } from '../../runtime/clock.ts'
import { inSlices } from '../../runtime/in-slices.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { Backend, BackendOptions, Drift, KernelScript, ScriptStep } from '../backend.ts'
import { withoutConnectionCounts } from '../balancing-at-random.ts'
import { blamedPort } from './blame.ts'
import { NODE_PORT_IPS, tableName } from './names.ts'
import { observedObjects } from './observe.ts'
import { containersOf } from './plan-layout.ts'
import { type BackendObject, ROUTE_LOCALNET, servesLocalhost } from './plan-node.ts'
import { NftablesPlanner } from './plan.ts'
import { dialectOf } from './plan-dialect.ts'
import { type Words, wordsOf } from './plan-words.ts'
import { REMOVE_PURPOSE, scriptFor } from './script.ts'
import { TableCheck } from './table-check.ts'

/** Before Linux 6.2 the kernel lets go of a chain a moment after the last element that led to it. */
const REMOVE_ATTEMPTS = 40
const REMOVE_PAUSE_MS = 50

/** How the kernel is asked about our table between syncs. */
export interface TableWatch {
  readonly foreign: ForeignTransactions
  readonly tables: Pick<NfTables, 'contents'>
}

export interface NftablesBackendOptions {
  readonly options: BackendOptions
  readonly exec: Exec
  readonly log: Logger
  readonly clock?: Clock
  /** What `uname -r` says; default: the kernel this process runs on. */
  readonly kernelRelease?: string
  /** Without it only the loss of the table is noticed between resyncs. */
  readonly watch?: TableWatch | undefined
  /** Writes what it can of the scripts; without it nft writes everything. */
  readonly elements?: Pick<NftElements, 'write'> | undefined
}

/** Throws `KernelError` when nft or the kernel is missing or too old, naming the version. */
export async function createNftablesBackend(wiring: NftablesBackendOptions): Promise<NftablesBackend> {
  const { exec, options, log, kernelRelease } = wiring
  const table = tableName(options.family)
  const nft = new Nft(exec, `${table.family} ${table.name}`)
  const version = await nft.requireVersions(kernelRelease)
  requirePlainName(options)
  const elements = wiring.elements === undefined ? 'nft' : 'netlink'
  log.info({ family: options.family, version, elements }, 'Using nftables')
  const words = wordsOf(options.family, dialectOf(version))
  return new NftablesBackend({ ...wiring, nft, table, words })
}

/** nft has no way to write a quote inside a name, and Linux allows one in the name of an interface. */
function requirePlainName({ detector }: BackendOptions): void {
  const name =
    detector?.by === 'interface' ? detector.name : detector?.by === 'interface-prefix' ? detector.prefix : ''
  if (!/["\\\s*]/.test(name)) return
  const remedy = 'choose another interface name, or another --detect-local-mode'
  throw new KernelError(`Cannot write a rule for interface ${JSON.stringify(name)}; ${remedy}`, {
    code: 'unsupported',
    command: ['nft'],
    exitCode: undefined,
    stderr: '',
    script: '',
    line: undefined,
    remedy,
  })
}

interface PreparedOptions extends NftablesBackendOptions {
  readonly nft: Nft
  readonly table: TableName
  readonly words: Words
}

export class NftablesBackend implements Backend<BackendObject> {
  readonly name = 'nftables'
  readonly addsCheaply = true
  readonly #options: BackendOptions
  readonly #exec: Exec
  readonly #words: Words
  readonly #log: Logger
  readonly #nft: Nft
  readonly #table: TableName
  readonly #clock: Clock
  readonly #planner: NftablesPlanner
  readonly #foreign: ForeignTransactions | undefined
  readonly #check: TableCheck | undefined
  readonly #elementTypes: ElementTypes
  #elements: Pick<NftElements, 'write'> | undefined
  #planned: Forwarding | undefined
  /** The table is there because we put something into it. */
  #written = false
  /** What the next script is made from was read from the kernel, not believed. */
  #observed = false

  constructor(wiring: PreparedOptions) {
    this.#options = wiring.options
    this.#exec = wiring.exec
    this.#words = wiring.words
    this.#log = wiring.log
    this.#nft = wiring.nft
    this.#table = wiring.table
    this.#clock = wiring.clock ?? systemClock
    this.#foreign = wiring.watch?.foreign
    this.#check =
      wiring.watch && new TableCheck({ ...wiring.watch, table: this.#nft.table, clock: this.#clock })
    this.#planner = new NftablesPlanner(wiring.options, wiring.words)
    this.#elements = wiring.elements
    this.#elementTypes = elementTypes(containersOf(wiring.words))
  }

  get family() {
    return this.#options.family
  }

  plan(forwarding: Forwarding): KernelState<BackendObject> {
    this.#planned = forwarding
    return this.#planner.plan(forwarding)
  }

  script(changes: Changes<BackendObject>): Sliced<KernelScript> {
    return scriptFor(changes, this.#table)
  }

  async observe(signal: AbortSignal): Promise<KernelState<BackendObject>> {
    const text = await this.#nft.list(signal)
    this.#observed = true
    this.#written = text !== undefined
    if (text === undefined) return emptyState()
    const localhost = this.#planned !== undefined && servesLocalhost(this.#planned.node, this.#words)
    const settings = localhost ? await this.#observedSettings(signal) : []
    const objects = await inSlices(observedObjects(text, this.#words))
    return observedState<BackendObject>([...objects, ...settings])
  }

  async apply(script: KernelScript, signal: AbortSignal): Promise<void> {
    const write = async (): Promise<void> => {
      for (const step of script) await this.#applyStep(step, signal)
    }
    await (this.#foreign?.ownWrites(write, script.length) ?? write())
    this.#written = true
    this.#observed = false
  }

  blame(error: unknown, forwarding: Forwarding): ServicePortKey | undefined {
    return error instanceof KernelError ? blamedPort(error, forwarding) : undefined
  }

  async probe(
    signal: AbortSignal,
    believed: KernelState<BackendObject> | undefined,
  ): Promise<Drift | undefined> {
    if (!this.#written) return undefined
    if (this.#check !== undefined) return this.#check.drift(believed)
    // The smallest of our sets: with it the table is there.
    const listed = await this.#nft.listSet(NODE_PORT_IPS, signal)
    return listed === undefined
      ? { what: `table ${this.#table.family} ${this.#table.name} is missing` }
      : undefined
  }

  substitution(port: PortForwarding): string | undefined {
    return withoutConnectionCounts(port, this.name)
  }

  async cleanup(signal: AbortSignal): Promise<readonly string[]> {
    this.#written = false
    const remove = async (): Promise<boolean> => this.#nft.deleteTable(signal)
    const found = await (this.#foreign?.ownWrites(remove, 1) ?? remove())
    return found ? [`table ${this.#table.family} ${this.#table.name}`] : []
  }

  async #observedSettings(signal: AbortSignal): Promise<readonly BackendObject[]> {
    const request = { file: 'cat', args: [`/proc/sys/${ROUTE_LOCALNET.key}`], signal }
    const result = await this.#exec.run(request)
    return result.exitCode === 0 ? [{ ...ROUTE_LOCALNET, text: result.stdout.trim() }] : []
  }

  async #applyStep(step: ScriptStep, signal: AbortSignal, attempts = REMOVE_ATTEMPTS): Promise<void> {
    if (await this.#takesElements(step)) return
    const { file, args, stdin, purpose } = step
    // nft 0.9.8 opens /dev/stdin by its name; which version was the last to do so is not known.
    const request = { file, args, stdin, stdinAsFile: true, signal }
    const result = await this.#exec.run(request)
    if (result.exitCode === 0) return
    const error = classifyFailure(request, result, `Cannot ${purpose} for ${this.family}`)
    if (error.code !== 'busy' || purpose !== REMOVE_PURPOSE || attempts <= 1) throw this.#judged(error)
    await this.#clock.sleep(REMOVE_PAUSE_MS, signal)
    await this.#applyStep(step, signal, attempts - 1)
  }

  /** What is refused here goes through nft, whose words tell why. */
  async #takesElements({ file, stdin }: ScriptStep): Promise<boolean> {
    if (this.#elements === undefined || file !== 'nft') return false
    try {
      return await this.#elements.write(stdin, this.#elementTypes)
    } catch (error) {
      // Should it have been done all the same, nft says that what was deleted is not there, and the table is read.
      this.#log.warn(
        { family: this.family, error: String(error) },
        'Cannot write elements by netlink; nft writes every change from now on, more slowly, until a restart',
      )
      this.#elements = undefined
      return false
    }
  }

  /**
   * "Exists already" and "no such thing" usually mean that our belief was wrong, and reading helps. Right after
   * reading they mean that what we want contradicts itself: then a service port is at fault.
   */
  #judged(error: KernelError): KernelError {
    const contradiction = error.code === 'already-exists' || error.code === 'missing-object'
    return this.#observed && contradiction
      ? new KernelError(error.message, { ...failureOf(error), code: 'rejected' }, { cause: error })
      : error
  }
}

function failureOf({ command, exitCode, stderr, script, line, remedy }: KernelError) {
  return { command, exitCode, stderr, script, line, remedy }
}
