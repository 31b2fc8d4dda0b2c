/**
 * Looks for drift with programs alone, where this process cannot ask the kernel itself (`drift-probe.ts`): a few small
 * questions in turn whose answers change when somebody flushes, deletes or restores what is ours: a jump, a virtual
 * server, an address, a set. Each call asks two, so it can be made several times a second.
 */
import { atOnce } from '../../collections/sliced.ts'
import type { IpLink } from '../../kernel/ip-link.ts'
import type { Ipset } from '../../kernel/ipset.ts'
import type { Iptables } from '../../kernel/iptables.ts'
import type { IpvsControl } from '../../kernel/ipvs-control.ts'
import { parseCommand } from '../../netfilter/ipvs/command.ts'
import { type Family, type Ip, parseIp } from '../../net/ip.ts'
import type { Drift, KernelScript } from '../backend.ts'
import { DEVICE, JUMPS, setNameFor } from './names.ts'
import { observedRules } from './observe.ts'

export interface ToolProbeOptions {
  readonly family: Family
  readonly control: Pick<IpvsControl, 'has'>
  readonly ipset: Ipset
  readonly ipLink: IpLink
  readonly iptables: Iptables
}

/** Chains of others that hold our jumps; who flushes a table takes them along. */
const TABLES = (['nat', 'filter', 'mangle'] as const).map(
  (table) =>
    [table, [...new Set(JUMPS.flatMap((jump) => (jump.table === table ? [jump.chain] : [])))]] as const,
)

type Question = (signal: AbortSignal) => Promise<string | undefined>

export class ToolProbe {
  readonly #options: ToolProbeOptions
  readonly #questions: readonly Question[]
  #turn = 0
  #tableTurn = 0
  #selector: string | undefined
  #ip: Ip | undefined
  #addressCount: number | undefined

  constructor(options: ToolProbeOptions) {
    this.#options = options
    this.#questions = [
      (signal) => this.#server(signal),
      (signal) => this.#address(signal),
      (signal) => this.#set(signal),
    ]
  }

  /** What was known may change now. */
  forget(): void {
    this.#addressCount = undefined
  }

  /** Looks out for things that this script has put into the kernel, and for the number of addresses on record. */
  watch(script: KernelScript, addressCount: number): void {
    this.#addressCount = addressCount
    for (const { file, stdin } of script) {
      if (file === 'ipvsadm') this.#watchServers(stdin)
      if (file === 'ip') this.#watchAddresses(stdin)
    }
  }

  /** `undefined`: what was asked is as we left it. Throws `KernelError`. */
  async check(signal: AbortSignal): Promise<Drift | undefined> {
    const question = this.#questions[this.#turn++ % this.#questions.length]
    const what = (await this.#jumps(signal)) ?? (await question?.(signal))
    return what === undefined ? undefined : { what }
  }

  #watchServers(stdin: string): void {
    const kept = this.#selector === undefined ? undefined : `-D ${this.#selector}\n`
    if (kept !== undefined && stdin.includes(kept)) this.#selector = undefined
    if (this.#selector !== undefined) return
    const [line = ''] = /^-A .*$/m.exec(stdin) ?? []
    this.#selector = parseCommand(line)?.server.selector
  }

  #watchAddresses(stdin: string): void {
    if (this.#ip !== undefined && stdin.includes(`route del local ${this.#ip}/`)) this.#ip = undefined
    const found = /^route replace local ([^/ ]+)\//m.exec(stdin)?.[1]
    if (this.#ip === undefined && found !== undefined) this.#ip = parseIp(found)
  }

  async #jumps(signal: AbortSignal): Promise<string | undefined> {
    const [table, chains] = TABLES[this.#tableTurn++ % TABLES.length] ?? ['nat', []]
    const text = await this.#options.iptables.listChains({ [table]: chains }, signal)
    const seen = new Set(atOnce(observedRules(text)).map(({ key }) => key))
    const lost = JUMPS.find((jump) => jump.table === table && !seen.has(jump.key))
    return lost && `jump from ${table} ${lost.chain} is missing: "${lost.rule}"`
  }

  async #server(signal: AbortSignal): Promise<string | undefined> {
    if (this.#selector === undefined || (await this.#options.control.has(this.#selector, signal)))
      return undefined
    return `virtual server "${this.#selector}" is missing`
  }

  async #address(signal: AbortSignal): Promise<string | undefined> {
    if (this.#ip === undefined || (await this.#options.ipLink.isLocal(this.#ip, DEVICE, signal)))
      return undefined
    return `address ${this.#ip} is not local any more`
  }

  async #set(signal: AbortSignal): Promise<string | undefined> {
    const name = setNameFor('KUBE-IPVS-IPS', this.#options.family)
    const count = await this.#options.ipset.count(name, signal)
    const before = this.#addressCount
    if (count === undefined) return `set ${name} is missing`
    return before === undefined || before === count
      ? undefined
      : `set ${name} has ${count} elements, not ${before}`
  }
}
