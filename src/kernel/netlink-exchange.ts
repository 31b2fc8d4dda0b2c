/**
 * Questions and answers over a netlink socket of this process's network namespace: one question at a time, whoever
 * asks. Works for every protocol whose messages have a four-byte header of their own (generic netlink, netfilter).
 */

/** <linux/netlink.h> */
export const NETLINK_NETFILTER = 12
export const REQUEST = 0x1
export const MULTI = 0x2
export const ACK = 0x4
export const DUMP = 0x300
export const ERROR = 2
const DONE = 3
const HEADER = 16
/** What generic netlink and netfilter put between the netlink header and the attributes. */
export const EXTRA_HEADER = 4
export const MESSAGE_HEADERS = HEADER + EXTRA_HEADER

const ANSWER_MS = 60_000

/** The part of a netlink socket that is needed; the real one is in the package `netlink`. */
export interface ExchangeSocket {
  on(event: 'message', listener: (message: Buffer) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  send(message: Uint8Array, options: object, callback: (error?: Error) => void): void
  ref(): void
  unref(): void
  close(): void
}

export interface NetlinkMessage {
  readonly type: number
  readonly flags: number
  readonly seq: number
  /** Behind the netlink header. */
  readonly payload: Buffer
}

/** Called with every message; resolves the question by returning true, and fails it by throwing. */
type Take = (message: NetlinkMessage) => boolean

interface Waiting {
  readonly take: Take
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class NetlinkExchange {
  readonly #socket: ExchangeSocket
  readonly #unread: Buffer[] = []
  #seq = 1
  #waiting: Waiting | undefined
  /** Ends when nobody before has a question any more. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(socket: ExchangeSocket) {
    this.#socket = socket
    socket.unref()
    socket.on('message', (bytes) => this.#later(bytes))
    socket.on('error', (error) => setImmediate(() => this.#waiting?.reject(error)))
  }

  close(): void {
    this.#socket.close()
  }

  /** The first of `count` numbers that no other question has. */
  takeNumbers(count: number): number {
    const first = this.#seq
    this.#seq += count
    return first
  }

  /** Rejects when the socket fails, the kernel is silent, or `take` throws. */
  async ask(bytes: Uint8Array, take: Take): Promise<void> {
    const answer = this.#turn.then(() => this.#askNow(bytes, take))
    this.#turn = answer.catch(() => undefined)
    return answer
  }

  /** The payloads, behind both headers, of all that the kernel lists in answer. */
  async list(question: {
    readonly type: number
    readonly flags?: number
    readonly extra: Uint8Array
    readonly attributes: Uint8Array
  }): Promise<readonly Buffer[]> {
    const seq = this.takeNumbers(1)
    const { type, extra, attributes, flags = REQUEST | DUMP } = question
    const found: Buffer[] = []
    await this.ask(encodeMessage({ type, flags, seq }, extra, attributes), (message) => {
      if (message.seq !== seq) return false
      if (message.type === DONE || message.type === ERROR) return endsAnswer(message)
      found.push(message.payload.subarray(EXTRA_HEADER))
      return (message.flags & MULTI) === 0
    })
    return found
  }

  async #askNow(bytes: Uint8Array, take: Take): Promise<void> {
    // The socket keeps the process alive only while somebody waits for an answer.
    this.#socket.ref()
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        timer = setTimeout(() => reject(new Error('the kernel did not answer')), ANSWER_MS)
        this.#waiting = { take, resolve, reject }
        this.#socket.send(bytes, {}, (error) => {
          if (error instanceof Error) setImmediate(() => reject(error))
        })
      })
    } finally {
      clearTimeout(timer)
      this.#waiting = undefined
      this.#socket.unref()
    }
  }

  /**
   * The native part of the package ends the process when anything throws, or exits, before its callback has returned;
   * so nothing is done there but keeping the message.
   */
  #later(bytes: Buffer): void {
    this.#unread.push(bytes)
    if (this.#unread.length > 1) return
    setImmediate(() => {
      for (const datagram of this.#unread.splice(0)) this.#receive(datagram)
    })
  }

  #receive(bytes: Buffer): void {
    for (const message of readMessages(bytes)) {
      const waiting = this.#waiting
      if (waiting === undefined) return
      try {
        if (!waiting.take(message)) continue
        this.#waiting = undefined
        waiting.resolve()
      } catch (error) {
        this.#waiting = undefined
        waiting.reject(error)
      }
    }
  }
}

/** The kernel refused a question; `errno` is positive. */
export class NetlinkRefusal extends Error {
  readonly errno: number

  constructor(errno: number) {
    super(`netlink error ${errno}`)
    this.errno = errno
  }
}

/** Whether this message ends an answer; throws when it is a refusal. */
export function endsAnswer({ type, payload }: NetlinkMessage): boolean {
  if (type === DONE) return true
  if (type !== ERROR) return false
  const errno = -payload.readInt32LE(0)
  if (errno !== 0) throw new NetlinkRefusal(errno)
  return true
}

/** `body`: what stands behind the netlink header, in parts. */
export function encodeMessage(
  header: { readonly type: number; readonly flags: number; readonly seq: number },
  ...body: readonly Uint8Array[]
): Uint8Array {
  const length = body.reduce((sum, part) => sum + part.length, HEADER)
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, bytes.length, true)
  view.setUint16(4, header.type, true)
  view.setUint16(6, header.flags, true)
  view.setUint32(8, header.seq, true)
  let at = HEADER
  for (const part of body) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

/** The messages of one datagram; what is cut off is left out. */
export function* readMessages(bytes: Buffer): Generator<NetlinkMessage> {
  for (let at = 0; at + HEADER <= bytes.length;) {
    const length = bytes.readUInt32LE(at)
    if (length < HEADER || at + length > bytes.length) return
    yield {
      type: bytes.readUInt16LE(at + 4),
      flags: bytes.readUInt16LE(at + 6),
      seq: bytes.readUInt32LE(at + 8),
      payload: bytes.subarray(at + HEADER, at + length),
    }
    at += (length + 3) & ~3
  }
}

/** Values by type; of nested attributes the value is their bytes. */
export function readAttributes(bytes: Buffer): ReadonlyMap<number, Buffer> {
  return new Map(attributesOf(bytes))
}

/** Type and value of each attribute, in order. Lengths are the sender's and may be wrong: what is cut off is left out. */
export function* attributesOf(bytes: Buffer): Generator<readonly [type: number, value: Buffer]> {
  for (let at = 0; at + 4 <= bytes.length;) {
    const length = bytes.readUInt16LE(at)
    if (length < 4 || at + length > bytes.length) return
    yield [bytes.readUInt16LE(at + 2) & 0x3fff, bytes.subarray(at + 4, at + length)]
    at += (length + 3) & ~3
  }
}
