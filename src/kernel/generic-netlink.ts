/**
 * A generic netlink socket for one kernel family, as far as IPVS needs it: many commands in one message without an
 * acknowledgement for each, and lists. Everything is sent in the network namespace of this process.
 */
import { RawNetlinkSocket } from 'netlink'

const NETLINK_GENERIC = 16
const CONTROLLER = 16
const GET_FAMILY = 3
const FAMILY_ID = 1
const FAMILY_NAME = 2
const ERROR = 2
const DONE = 3
const REQUEST = 0x1
const MULTI = 0x2
const ACK = 0x4
const DUMP = 0x300
const HEADER = 16
const GENERIC_HEADER = 4
/** A message of the socket's own default size always fits. */
const BATCH_BYTES = 60_000
const ANSWER_MS = 60_000

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

interface Waiting {
  /** Called with every message; resolves the wait by returning true. */
  readonly take: (message: Message) => boolean
  readonly reject: (error: Error) => void
}

interface Message {
  readonly type: number
  readonly flags: number
  readonly seq: number
  readonly payload: Buffer
}

export class GenericNetlink {
  readonly #socket: RawNetlinkSocket
  readonly #version: number
  #family = 0
  #seq = 1
  #waiting: Waiting | undefined

  private constructor(socket: RawNetlinkSocket, version: number) {
    this.#socket = socket
    this.#version = version
    socket.on('message', (bytes) => this.#receive(bytes))
    socket.on('error', (error) => this.#waiting?.reject(error))
  }

  /** `undefined`: the kernel has no such family. Rejects when there can be no socket at all. */
  static async open(name: string, version: number): Promise<GenericNetlink | undefined> {
    const options = { recvBufferSize: 4 << 20, sendBufferSize: 1 << 20 }
    const netlink = new GenericNetlink(new RawNetlinkSocket(NETLINK_GENERIC, options), version)
    netlink.#socket.unref()
    const family = await netlink.#resolve(name)
    if (family === undefined) {
      netlink.close()
      return undefined
    }
    netlink.#family = family
    return netlink
  }

  close(): void {
    this.#socket.close()
  }

  /** Sends all commands; those that the kernel refused are the result, and do not keep others from being done. */
  async send(commands: readonly NetlinkCommand[]): Promise<readonly Refusal[]> {
    const refusals: Refusal[] = []
    let start = 0
    while (start < commands.length) {
      let bytes = 0
      let end = start
      for (; end < commands.length; end++) {
        bytes += HEADER + GENERIC_HEADER + (commands[end]?.attributes.length ?? 0)
        if (bytes > BATCH_BYTES && end > start) break
      }
      refusals.push(...(await this.#sendBatch(commands.slice(start, end), start)))
      start = end
    }
    return refusals
  }

  /** The payloads (behind the generic header) of everything that the kernel lists in answer to a command. */
  async dump(command: NetlinkCommand): Promise<readonly Buffer[]> {
    const seq = this.#seq++
    const found: Buffer[] = []
    await this.#exchange(Buffer.from(this.#message(command, { seq, flags: REQUEST | DUMP })), (message) => {
      if (message.seq !== seq) return false
      if (message.type === DONE) return true
      if (message.type === ERROR) throw new Error(`netlink error ${-message.payload.readInt32LE(0)}`)
      found.push(message.payload.subarray(GENERIC_HEADER))
      return (message.flags & MULTI) === 0
    })
    return found
  }

  async #sendBatch(commands: readonly NetlinkCommand[], offset: number): Promise<readonly Refusal[]> {
    const firstSeq = this.#seq
    this.#seq += commands.length
    const last = firstSeq + commands.length - 1
    const refusals: Refusal[] = []
    const messages = commands.map((command, i) => {
      const seq = firstSeq + i
      return this.#message(command, { seq, flags: seq === last ? REQUEST | ACK : REQUEST })
    })
    await this.#exchange(Buffer.concat(messages), ({ type, seq, payload }) => {
      if (type !== ERROR || seq < firstSeq || seq > last) return false
      const errno = -payload.readInt32LE(0)
      if (errno !== 0) refusals.push({ index: offset + seq - firstSeq, errno })
      return seq === last
    })
    return refusals
  }

  async #resolve(name: string): Promise<number | undefined> {
    const seq = this.#seq++
    const value = Buffer.from(`${name}\0`)
    const attribute = Buffer.alloc((4 + value.length + 3) & ~3)
    attribute.writeUInt16LE(4 + value.length, 0)
    attribute.writeUInt16LE(FAMILY_NAME, 2)
    value.copy(attribute, 4)
    let id: number | undefined
    const command = { number: GET_FAMILY, attributes: attribute }
    const question = this.#message(command, { seq, flags: REQUEST, type: CONTROLLER })
    await this.#exchange(Buffer.from(question), (message) => {
      if (message.seq !== seq) return false
      if (message.type === CONTROLLER)
        id = readAttributes(message.payload.subarray(GENERIC_HEADER)).get(FAMILY_ID)?.readUInt16LE(0)
      return true
    })
    return id
  }

  #message(
    { number, attributes }: NetlinkCommand,
    header: { readonly seq: number; readonly flags: number; readonly type?: number },
  ): Uint8Array {
    const bytes = new Uint8Array(HEADER + GENERIC_HEADER + attributes.length)
    const view = new DataView(bytes.buffer)
    view.setUint32(0, bytes.length, true)
    view.setUint16(4, header.type ?? this.#family, true)
    view.setUint16(6, header.flags, true)
    view.setUint32(8, header.seq, true)
    view.setUint8(HEADER, number)
    view.setUint8(HEADER + 1, header.type === undefined ? this.#version : 1)
    bytes.set(attributes, HEADER + GENERIC_HEADER)
    return bytes
  }

  /** One question at a time; the socket keeps the process alive only while it waits. */
  async #exchange(bytes: Buffer, take: (message: Message) => boolean): Promise<void> {
    this.#socket.ref()
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        timer = setTimeout(() => reject(new Error('the kernel did not answer')), ANSWER_MS)
        this.#waiting = {
          take: (message) => {
            const done = take(message)
            if (done) resolve()
            return done
          },
          reject,
        }
        this.#socket.send(bytes, {}, (error) => {
          if (error instanceof Error) reject(error)
        })
      })
    } finally {
      clearTimeout(timer)
      this.#waiting = undefined
      this.#socket.unref()
    }
  }

  #receive(bytes: Buffer): void {
    for (let at = 0; at + HEADER <= bytes.length;) {
      const length = bytes.readUInt32LE(at)
      if (length < HEADER) return
      const message = {
        type: bytes.readUInt16LE(at + 4),
        flags: bytes.readUInt16LE(at + 6),
        seq: bytes.readUInt32LE(at + 8),
        payload: bytes.subarray(at + HEADER, at + length),
      }
      try {
        if (this.#waiting?.take(message) === true) this.#waiting = undefined
      } catch (error) {
        this.#waiting?.reject(error instanceof Error ? error : new Error(String(error)))
      }
      at += (length + 3) & ~3
    }
  }
}

/** Values by type; of nested attributes the value is their bytes. */
export function readAttributes(bytes: Buffer): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>()
  for (let at = 0; at + 4 <= bytes.length;) {
    const length = bytes.readUInt16LE(at)
    if (length < 4) return found
    found.set(bytes.readUInt16LE(at + 2) & 0x3fff, bytes.subarray(at + 4, at + length))
    at += (length + 3) & ~3
  }
  return found
}
