/**
 * Which addresses are local, asked without running a program (rtnetlink). It asks and does not listen: the native part of
 * the package ends the process when more is told than its socket can hold.
 */
import { RawNetlinkSocket } from 'netlink'
import { type Family, type Ip, familyOf, ipBytes, ipFromBytes } from '../net/ip.ts'
import {
  DUMP,
  MULTI,
  NetlinkExchange,
  NetlinkRefusal,
  REQUEST,
  encodeMessage,
  endsAnswer,
  readAttributes,
} from './netlink-exchange.ts'

/** <linux/rtnetlink.h> */
const NETLINK_ROUTE = 0
const NEW_ROUTE = 24
const GET_ROUTE = 26
const ROUTE_HEADER = 12
const DESTINATION = 1
/** Positions in the header of a route. */
const LENGTH_AT = 1
const TABLE_AT = 4
const TYPE_AT = 7
const LOCAL_TABLE = 255
const TYPE_LOCAL = 2
const FAMILY_NUMBERS: Readonly<Record<Family, number>> = { IPv4: 2, IPv6: 10 }

export class LocalAddresses {
  readonly #exchange: NetlinkExchange

  constructor(exchange: NetlinkExchange) {
    this.#exchange = exchange
  }

  /** Throws when there can be no socket. */
  static open(): LocalAddresses {
    const options = { recvBufferSize: 1 << 20, sendBufferSize: 1 << 16 }
    return new LocalAddresses(new NetlinkExchange(new RawNetlinkSocket(NETLINK_ROUTE, options)))
  }

  close(): void {
    this.#exchange.close()
  }

  /** Whether a packet to this address stays on the node. */
  async has(ip: Ip): Promise<boolean> {
    const bytes = ipBytes(ip)
    const header = [FAMILY_NUMBERS[familyOf(ip)], bytes.length * 8, ...new Array<number>(10).fill(0)]
    const attribute = [4 + bytes.length, 0, DESTINATION, 0, ...bytes]
    try {
      const [route] = await this.#ask(REQUEST, Uint8Array.of(...header, ...attribute))
      return route?.[TYPE_AT] === TYPE_LOCAL
    } catch (error) {
      if (error instanceof NetlinkRefusal) return false
      throw error
    }
  }

  /** Every single address of a family with a local route of its own. */
  async all(family: Family): Promise<ReadonlySet<Ip>> {
    const header = [FAMILY_NUMBERS[family], ...new Array<number>(ROUTE_HEADER - 1).fill(0)]
    const found = new Set<Ip>()
    for (const route of await this.#ask(REQUEST | DUMP, Uint8Array.of(...header))) {
      if (route[TABLE_AT] !== LOCAL_TABLE || route[TYPE_AT] !== TYPE_LOCAL) continue
      const bytes = readAttributes(route.subarray(ROUTE_HEADER)).get(DESTINATION)
      if (bytes !== undefined && route[LENGTH_AT] === bytes.length * 8) found.add(ipFromBytes([...bytes]))
    }
    return found
  }

  /** The routes of the answer, from their headers on. */
  async #ask(flags: number, body: Uint8Array): Promise<readonly Buffer[]> {
    const seq = this.#exchange.takeNumbers(1)
    const routes: Buffer[] = []
    const question = encodeMessage({ type: GET_ROUTE, flags, seq }, body)
    await this.#exchange.ask(question, (message) => {
      if (message.seq !== seq) return false
      if (message.type !== NEW_ROUTE) return endsAnswer(message)
      routes.push(message.payload)
      return (message.flags & MULTI) === 0
    })
    return routes
  }
}
