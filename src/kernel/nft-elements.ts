/**
 * Writes elements of nftables sets and maps without the program `nft`: most changes of a large cluster are a handful of
 * elements, and to start a program for each costs more than everything else together, the more so the larger this
 * process is, because its page tables are copied.
 *
 * Numbers from <linux/netfilter/nfnetlink.h>.
 */
import { RawNetlinkSocket } from 'netlink'
import { join } from '../netfilter/netlink-attribute.ts'
import {
  type ElementMessage,
  type ElementTypes,
  NFTABLES_SUBSYSTEM,
  encodeElementCommands,
} from '../netfilter/nftables/element-message.ts'
import { ACK, ERROR, NETLINK_NETFILTER, NetlinkExchange, REQUEST, encodeMessage } from './netlink-exchange.ts'

const BATCH_BEGIN = 16
const BATCH_END = 17
const BATCH = { flags: 0, family: 0, attributes: new Uint8Array() }
/** A refusal repeats what was refused, and all of them must fit into the smallest receive buffer there is. */
const BATCH_BYTES = 24_000
const SOCKET = { recvBufferSize: 1 << 20, sendBufferSize: 1 << 18 }

export class NftElements {
  readonly #exchange: NetlinkExchange

  constructor(exchange: NetlinkExchange) {
    this.#exchange = exchange
  }

  /** `undefined` where there can be no such socket (no prebuilt module for this machine). */
  static open(): NftElements | undefined {
    try {
      return new NftElements(new NetlinkExchange(new RawNetlinkSocket(NETLINK_NETFILTER, SOCKET)))
    } catch {
      return undefined
    }
  }

  close(): void {
    this.#exchange.close()
  }

  /**
   * One transaction, as `nft -f -` would make it of the script. False: nothing has been written, because something in
   * the script is not for this way, it is too long, or the kernel refused it; `nft` can do it, or tells why not.
   */
  async write(script: string, types: ElementTypes): Promise<boolean> {
    // Messages are longer than their text; that of a first load is megabytes, and not worth a look.
    if (script.length > BATCH_BYTES) return false
    const commands = encodeElementCommands(script, types)
    if (commands === undefined || commands.length === 0) return false
    const bytes = commands.reduce((sum, { attributes }) => sum + attributes.length, 0)
    return bytes <= BATCH_BYTES && this.#send(commands)
  }

  async #send(commands: readonly ElementMessage[]): Promise<boolean> {
    const first = this.#exchange.takeNumbers(commands.length + 2)
    const last = first + commands.length
    const messages = [
      message({ number: BATCH_BEGIN, ...BATCH }, first),
      ...commands.map((command, i) => message(command, first + 1 + i, first + 1 + i === last ? ACK : 0)),
      message({ number: BATCH_END, ...BATCH }, last + 1),
    ]
    let isRefused = false
    await this.#exchange.ask(join(messages), ({ type, seq, payload }) => {
      if (type !== ERROR || seq < first || seq > last) return false
      isRefused ||= payload.readInt32LE(0) !== 0
      // What concerns the transaction as a whole is answered under the number of its beginning.
      return seq === last || (seq === first && isRefused)
    })
    return !isRefused
  }
}

function message({ number, flags, family, attributes }: ElementMessage, seq: number, ack = 0): Uint8Array {
  const header = { type: number, flags: REQUEST | flags | ack, seq }
  // Only the beginning and the end of a transaction say in front whom they are for; others have it in their number.
  const subsystem = number === BATCH_BEGIN || number === BATCH_END ? NFTABLES_SUBSYSTEM : 0
  return encodeMessage(header, Uint8Array.of(family, 0, 0, subsystem), attributes)
}
