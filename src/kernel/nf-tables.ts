/**
 * nftables asked directly: the number of the ruleset's generation, and how much one table holds. Neither reads what
 * others have, and neither starts a process.
 *
 * Numbers from <linux/netfilter/nfnetlink.h> and <linux/netfilter/nf_tables.h>.
 */
import { RawNetlinkSocket } from 'netlink'
import { attribute, join, text } from '../netfilter/netlink-attribute.ts'
import {
  NETLINK_NETFILTER,
  NetlinkExchange,
  NetlinkRefusal,
  REQUEST,
  attributesOf,
  readAttributes,
} from './netlink-exchange.ts'
import type { NftTable } from './nft.ts'

const SUBSYSTEM = 10 << 8
const GET_CHAIN = SUBSYSTEM | 4
const GET_RULE = SUBSYSTEM | 7
const GET_SET = SUBSYSTEM | 10
const GET_SET_ELEMENTS = SUBSYSTEM | 13
const GET_GENERATION = SUBSYSTEM | 16
/** Attribute 1 of a chain, a rule, a set and a list of elements is the table's name. */
const TABLE = 1
const CHAIN_NAME = 3
const RULE_CHAIN = 2
const SET_NAME = 2
const SET_FLAGS = 3
/** Part of a rule, and gone with it. */
const ANONYMOUS = 0x1
/** The two ends of an interval may count as two. */
const INTERVALS = 0x4
/** Told by recent kernels; others have to list the elements. */
const SET_COUNT = 20
const LIST_SET = 2
const LIST_ELEMENTS = 3
const ELEMENT_FLAGS = 3
/** The far end of an interval, which is an element of its own in some kinds of sets. */
const INTERVAL_END = 0x1
const GENERATION_ID = 1
const NO_ATTRIBUTES = new Uint8Array()
const FAMILY_NUMBER = { ip: 2, ip6: 10 } as const
const NO_SUCH_THING = 2
/** The kernel fills the messages of a list up to the size of the buffer that it is read into. */
const SOCKET = {
  recvBufferSize: 1 << 20,
  sendBufferSize: 1 << 16,
  messagePeeking: false,
  msgBufferSize: 1 << 15,
}

/** How many rules each chain has, and how many elements each set and map. */
export interface TableContents {
  readonly rules: ReadonlyMap<string, number>
  readonly elements: ReadonlyMap<string, number>
}

export class NfTables {
  readonly #exchange: NetlinkExchange

  private constructor(exchange: NetlinkExchange) {
    this.#exchange = exchange
  }

  /** `undefined` where the kernel cannot be asked, or not by us. */
  static async open(): Promise<NfTables | undefined> {
    try {
      const tables = new NfTables(new NetlinkExchange(new RawNetlinkSocket(NETLINK_NETFILTER, SOCKET)))
      await tables.generation()
      return tables
    } catch {
      return undefined
    }
  }

  close(): void {
    this.#exchange.close()
  }

  /** Grows by one with every transaction in this network namespace, whoever makes it. */
  async generation(): Promise<number> {
    const question = {
      type: GET_GENERATION,
      flags: REQUEST,
      extra: Buffer.alloc(4),
      attributes: NO_ATTRIBUTES,
    }
    const [answer] = await this.#exchange.list(question)
    const generation = answer && numberIn(answer, GENERATION_ID)
    if (generation === undefined)
      throw new Error('Cannot read the generation of nftables: the answer has none')
    return generation
  }

  /** Of one table; elements at least of the sets that `isCounted` names. A table that is missing is an empty one. */
  async contents(table: NftTable, isCounted: (set: string) => boolean): Promise<TableContents> {
    const rules = new Map<string, number>()
    const elements = new Map<string, number>()
    await this.#list(GET_CHAIN, { table }, (values) => rules.set(nameIn(values, CHAIN_NAME), 0))
    await this.#list(GET_RULE, { table }, (values) => increment(rules, nameIn(values, RULE_CHAIN)))
    const unknown = new Set<string>()
    await this.#list(GET_SET, { table }, (values) => {
      const flags = numberIn(values, SET_FLAGS) ?? 0
      if ((flags & ANONYMOUS) !== 0) return
      const name = nameIn(values, SET_NAME)
      const count = (flags & INTERVALS) === 0 ? numberIn(values, SET_COUNT) : undefined
      elements.set(name, count ?? 0)
      if (count === undefined) unknown.add(name)
    })
    for (const set of [...unknown].filter(isCounted)) {
      let count = 0
      await this.#list(GET_SET_ELEMENTS, { table, set }, (values) => (count += elementsIn(values)))
      elements.set(set, count)
    }
    return { rules, elements }
  }

  async #list(
    type: number,
    { table, set }: { readonly table: NftTable; readonly set?: string },
    take: (values: Buffer) => void,
  ): Promise<void> {
    const [family, name] = table.split(' ') as ['ip' | 'ip6', string]
    const extra = Uint8Array.of(FAMILY_NUMBER[family], 0, 0, 0)
    const attributes = join([
      attribute(TABLE, text(name)),
      ...(set === undefined ? [] : [attribute(LIST_SET, text(set))]),
    ])
    try {
      // Older kernels list the chains and sets of all tables of the family.
      for (const values of await this.#exchange.list({ type, extra, attributes }))
        if (nameIn(values, TABLE) === name) take(values)
    } catch (error) {
      if (!(error instanceof NetlinkRefusal) || error.errno !== NO_SUCH_THING) throw error
    }
  }
}

function increment(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

function elementsIn(list: Buffer): number {
  let count = 0
  for (const [type, elements] of attributesOf(list)) {
    if (type !== LIST_ELEMENTS) continue
    for (const [, element] of attributesOf(elements))
      if (((numberIn(element, ELEMENT_FLAGS) ?? 0) & INTERVAL_END) === 0) count++
  }
  return count
}

function numberIn(values: Buffer, wanted: number): number | undefined {
  const value = readAttributes(values).get(wanted)
  return value?.length === 4 ? value.readUInt32BE(0) : undefined
}

function nameIn(values: Buffer, wanted: number): string {
  return readAttributes(values).get(wanted)?.toString('latin1').replace(/\0.*$/s, '') ?? ''
}
