/** How many elements IP sets have, asked without running a program. */
import { RawNetlinkSocket } from 'netlink'
import { DUMP, NetlinkExchange, REQUEST, readAttributes } from './netlink-exchange.ts'

/** <linux/netfilter/nfnetlink.h>, <linux/netfilter/ipset/ip_set.h> */
const NETLINK_NETFILTER = 12
const NFNL_SUBSYS_IPSET = 6
const IPSET_CMD_LIST = 7
const ATTR_PROTOCOL = 1
const ATTR_SETNAME = 2
const ATTR_FLAGS = 6
const ATTR_DATA = 7
const ATTR_ELEMENTS = 24
/** Every kernel that we run on speaks it. */
const PROTOCOL = 6
/** Headers alone, in network byte order. */
const LIST_HEADER = Uint8Array.of(0, 0, 0, 4)
const NET_BYTE_ORDER = 0x4000

export class IpsetSizes {
  readonly #exchange: NetlinkExchange

  constructor(exchange: NetlinkExchange) {
    this.#exchange = exchange
  }

  /** Throws when there can be no socket. */
  static open(): IpsetSizes {
    const options = { recvBufferSize: 1 << 20, sendBufferSize: 1 << 16 }
    return new IpsetSizes(new NetlinkExchange(new RawNetlinkSocket(NETLINK_NETFILTER, options)))
  }

  close(): void {
    this.#exchange.close()
  }

  /** By name, of all sets of the namespace; `undefined` where the kernel does not say. */
  async read(): Promise<ReadonlyMap<string, number | undefined>> {
    const attributes = Uint8Array.of(
      ...[5, 0, ATTR_PROTOCOL, 0, PROTOCOL, 0, 0, 0],
      ...[8, 0, ATTR_FLAGS & 0xff, NET_BYTE_ORDER >> 8, ...LIST_HEADER],
    )
    const entries = await this.#exchange.list({
      type: (NFNL_SUBSYS_IPSET << 8) | IPSET_CMD_LIST,
      flags: REQUEST | DUMP,
      extra: Uint8Array.of(0, 0, 0, 0),
      attributes,
    })
    const sizes = new Map<string, number | undefined>()
    for (const entry of entries) {
      const values = readAttributes(entry)
      const name = values.get(ATTR_SETNAME)
      const data = values.get(ATTR_DATA)
      if (name === undefined || data === undefined) continue
      sizes.set(
        name.toString('latin1', 0, name.length - 1),
        readAttributes(data).get(ATTR_ELEMENTS)?.readUInt32BE(0),
      )
    }
    return sizes
  }
}
