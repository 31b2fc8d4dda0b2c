/**
 * What the kernel should have after our last write, in a form that a cheap look can be held against: of each virtual
 * server its options and one number for its real servers, of each set its size. It follows what is written by the
 * changes alone, and knows nothing after a write that failed until the kernel has been read.
 */
import { parseCommand } from '../../netfilter/ipvs/command.ts'
import { type TableRow, choiceText, sumOf } from '../../netfilter/ipvs/server-table.ts'
import type { Changes } from '../../netfilter/kernel-state.ts'
import type { IpvsObject } from './plan-port.ts'

interface ServerEntry {
  choice: string
  sum: number
}

export class KernelLedger {
  readonly #servers = new Map<string, ServerEntry>()
  readonly #sizes = new Map<string, number>()
  #isKnown = false

  /** Whether it says anything. */
  get isKnown(): boolean {
    return this.#isKnown
  }

  /** Any one virtual server, for the cheapest of all looks. */
  get someSelector(): string | undefined {
    const [first] = this.#servers.keys()
    return first
  }

  forget(): void {
    this.#isKnown = false
  }

  /** The kernel was read, and this is ours. */
  observed(objects: Iterable<IpvsObject>): void {
    this.#servers.clear()
    this.#sizes.clear()
    for (const object of objects) this.#add(object)
    this.#isKnown = true
  }

  /** These changes were written. `scripts`: the commands for virtual servers as the kernel has carried them out. */
  written(changes: Changes<IpvsObject>, scripts: readonly string[]): void {
    for (const object of changes.removed) this.#take(object)
    for (const { from, to } of changes.updated) {
      this.#take(from, { isReplaced: true })
      this.#add(to)
    }
    for (const object of changes.created) this.#add(object)
    for (const script of scripts) this.#readChoices(script)
    this.#isKnown = true
  }

  /** A line about the first virtual server that is not as it should be; `undefined`: all are. */
  wrongServer(rows: Iterable<TableRow>): string | undefined {
    let seen = 0
    for (const { selector, choice, servers } of rows) {
      const entry = selector === undefined ? undefined : this.#servers.get(selector)
      if (selector === undefined || entry === undefined) continue
      seen += Number(isVisible(selector, entry))
      if (entry.choice !== choice) return `virtual server "${selector}" has other options: ${choice}`
      if (entry.sum !== servers) return `virtual server "${selector}" has other real servers`
    }
    let wanted = 0
    for (const [selector, entry] of this.#servers) wanted += Number(isVisible(selector, entry))
    return seen < wanted ? `${wanted - seen} of ${wanted} virtual servers are missing` : undefined
  }

  /** A line about the first set that is not as large as it should be; `undefined`: all are. */
  wrongSet(sizes: ReadonlyMap<string, number | undefined>): string | undefined {
    for (const [name, size] of this.#sizes) {
      if (!sizes.has(name)) return `set ${name} is missing`
      const found = sizes.get(name)
      if (found !== undefined && found !== size) return `set ${name} has ${found} elements, not ${size}`
    }
    return undefined
  }

  #add(object: IpvsObject): void {
    if (object.kind === 'set') this.#sizes.set(object.name, this.#sizes.get(object.name) ?? 0)
    else if (object.kind === 'element') this.#resize(object.set, 1)
    else if (object.kind === 'virtual-server') this.#entry(object.selector).choice = choiceText(object)
    else if (object.kind === 'real-server') this.#addSum(object.selector, sumOf(object))
  }

  /** `isReplaced`: it stays, with other contents. */
  #take(object: IpvsObject, { isReplaced = false } = {}): void {
    // What goes with its set or its virtual server is not missed.
    if (object.kind === 'element') {
      if (this.#sizes.has(object.set)) this.#resize(object.set, -1)
    } else if (object.kind === 'real-server') {
      if (this.#servers.has(object.selector)) this.#addSum(object.selector, -sumOf(object))
    } else if (isReplaced) return
    else if (object.kind === 'set') this.#sizes.delete(object.name)
    else if (object.kind === 'virtual-server') this.#servers.delete(object.selector)
  }

  #resize(set: string, by: number): void {
    this.#sizes.set(set, (this.#sizes.get(set) ?? 0) + by)
  }

  #addSum(selector: string, by: number): void {
    const entry = this.#entry(selector)
    entry.sum = (entry.sum + by) >>> 0
  }

  #entry(selector: string): ServerEntry {
    const known = this.#servers.get(selector)
    if (known !== undefined) return known
    const entry = { choice: '', sum: 0 }
    this.#servers.set(selector, entry)
    return entry
  }

  /** A scheduler that the kernel lacks is replaced on the way. */
  #readChoices(script: string): void {
    for (const match of script.matchAll(/^-[AE] .*$/gm)) {
      const server = parseCommand(match[0])?.server
      if (server?.kind === 'virtual-server') this.#entry(server.selector).choice = choiceText(server)
    }
  }
}

/** Of a mark without real servers the table does not tell the family, so nobody looks for it. */
function isVisible(selector: string, { sum }: ServerEntry): boolean {
  return sum !== 0 || !selector.startsWith('-f ')
}
