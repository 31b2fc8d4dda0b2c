/**
 * Virtual servers in networks that the operator keeps for somebody else (`--ipvs-exclude-cidrs`). There an address is no
 * sign of ownership: ours is only what was on record when we started, or what we have added since.
 */
import { parseCommand } from '../../netfilter/ipvs/command.ts'
import { readSelector } from '../../netfilter/ipvs/virtual-server.ts'
import { type Cidr, cidrContains } from '../../net/cidr.ts'

export class ExcludedServers {
  readonly #cidrs: readonly Cidr[]
  readonly #ours = new Set<string>()
  #foreign: ReadonlySet<string> | undefined

  constructor(cidrs: readonly Cidr[]) {
    this.#cidrs = cidrs
  }

  covers(selector: string): boolean {
    if (this.#cidrs.length === 0) return false
    const where = readSelector(selector)
    return where !== undefined && 'ip' in where && this.#cidrs.some((cidr) => cidrContains(cidr, where.ip))
  }

  isForeign(selector: string): boolean {
    return this.#foreign?.has(selector) === true
  }

  /** What the kernel has now. `isRecorded` counts the first time only: afterwards the record also holds mere attempts. */
  observe(selectors: Iterable<string>, isRecorded: (selector: string) => boolean): void {
    const isFirst = this.#foreign === undefined
    const foreign = new Set<string>()
    for (const selector of selectors) {
      if (!this.covers(selector)) continue
      if (isFirst && isRecorded(selector)) this.#ours.add(selector)
      if (!this.#ours.has(selector)) foreign.add(selector)
    }
    this.#foreign = foreign
  }

  /** The first line of a script that would take somebody else's virtual server, from 1; else what it adds is ours. */
  claim(script: string): number | undefined {
    if (this.#cidrs.length === 0) return undefined
    for (const [index, line] of script.split('\n').entries()) {
      const command = parseCommand(line)
      if (command?.server.kind !== 'virtual-server' || command.verb !== 'add') continue
      const { selector } = command.server
      if (this.isForeign(selector)) return index + 1
      if (this.covers(selector)) this.#ours.add(selector)
    }
    return undefined
  }
}
