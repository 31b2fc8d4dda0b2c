/**
 * A generic netlink socket for one kernel family, as far as IPVS needs it: many commands in one message without an
 * acknowledgement for each, and lists. Everything is sent in the network namespace of this process.
 */
import { RawNetlinkSocket } from 'netlink'
import { attribute, text } from '../netfilter/netlink-attribute.ts'
import {
  ACK,
  ERROR,
  EXTRA_HEADER,
  MESSAGE_HEADERS,
  NetlinkExchange,
  NetlinkRefusal,
  REQUEST,
  encodeMessage,
  readAttributes,
} from './netlink-exchange.ts'

const NETLINK_GENERIC = 16
const CONTROLLER = 16
const GET_FAMILY = 3
const FAMILY_ID = 1
const FAMILY_NAME = 2
/**
 * So few that all of them can be refused at once: the refusals must fit into the smallest receive buffer there is
 * (`net.core.rmem_max` is 208 kB by default, a refusal takes up to 1.3 kB of it), since an overflow ends the process.
 */
const BATCH_BYTES = 24_000

export interface NetlinkCommand {
  readonly number: number
  readonly attributes: Uint8Array
}

/** A command that the kernel refused; `errno` is positive. */
export interface Refusal {
  /** Position in what was sent. */
  readonly index: number
  readonly errno: number
}

export class GenericNetlink {
  readonly #exchange: NetlinkExchange
  readonly #version: number
  readonly #family: number

  constructor(exchange: NetlinkExchange, family: { readonly number: number; readonly version: number }) {
    this.#exchange = exchange
    this.#family = family.number
    this.#version = family.version
  }

  /** `undefined`: the kernel has no such family. Rejects when there can be no socket at all. */
  static async open(name: string, version: number): Promise<GenericNetlink | undefined> {
    const options = { recvBufferSize: 4 << 20, sendBufferSize: 1 << 20 }
    const exchange = new NetlinkExchange(new RawNetlinkSocket(NETLINK_GENERIC, options))
    const number = await resolveFamily(exchange, name)
    if (number !== undefined) return new GenericNetlink(exchange, { number, version })
    exchange.close()
    return undefined
  }

  close(): void {
    this.#exchange.close()
  }

  /** Sends all commands; those that the kernel refused are the result, and do not keep others from being done. */
  async send(commands: readonly NetlinkCommand[]): Promise<readonly Refusal[]> {
    const refusals: Refusal[] = []
    let start = 0
    while (start < commands.length) {
      let bytes = 0
      let end = start
      for (; end < commands.length; end++) {
        bytes += MESSAGE_HEADERS + (commands[end]?.attributes.length ?? 0)
        if (bytes > BATCH_BYTES && end > start) break
      }
      refusals.push(...(await this.#sendBatch(commands.slice(start, end), start)))
      start = end
    }
    return refusals
  }

  /** The attributes of everything that the kernel lists in answer to a command. */
  async dump({ number, attributes }: NetlinkCommand): Promise<readonly Buffer[]> {
    return this.#exchange.list({ type: this.#family, extra: this.#extra(number), attributes })
  }

  /** The attributes of the one thing that a command asks for; `undefined`: the kernel refused. */
  async get({ number, attributes }: NetlinkCommand): Promise<Buffer | undefined> {
    const question = { type: this.#family, flags: REQUEST, extra: this.#extra(number), attributes }
    try {
      return (await this.#exchange.list(question))[0]
    } catch (error) {
      if (error instanceof NetlinkRefusal) return undefined
      throw error
    }
  }

  async #sendBatch(commands: readonly NetlinkCommand[], offset: number): Promise<readonly Refusal[]> {
    const firstSeq = this.#exchange.takeNumbers(commands.length)
    const last = firstSeq + commands.length - 1
    const refusals: Refusal[] = []
    const messages = commands.map(({ number, attributes }, i) => {
      const seq = firstSeq + i
      const header = { type: this.#family, seq, flags: seq === last ? REQUEST | ACK : REQUEST }
      return encodeMessage(header, this.#extra(number), attributes)
    })
    await this.#exchange.ask(Buffer.concat(messages), ({ type, seq, payload }) => {
      if (type !== ERROR || seq < firstSeq || seq > last) return false
      const errno = -payload.readInt32LE(0)
      if (errno !== 0) refusals.push({ index: offset + seq - firstSeq, errno })
      return seq === last
    })
    return refusals
  }

  #extra(number: number): Uint8Array {
    return Uint8Array.of(number, this.#version, 0, 0)
  }
}

async function resolveFamily(exchange: NetlinkExchange, name: string): Promise<number | undefined> {
  const seq = exchange.takeNumbers(1)
  const extra = Uint8Array.of(GET_FAMILY, 1, 0, 0)
  let id: number | undefined
  const header = { type: CONTROLLER, seq, flags: REQUEST }
  const question = encodeMessage(header, extra, attribute(FAMILY_NAME, text(name)))
  await exchange.ask(question, (message) => {
    if (message.seq !== seq) return false
    if (message.type === CONTROLLER)
      id = readAttributes(message.payload.subarray(EXTRA_HEADER)).get(FAMILY_ID)?.readUInt16LE(0)
    return true
  })
  return id
}
