/** The wire of a netlink socket: what was sent, and what the test has the kernel say. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type ExchangeSocket, encodeMessage } from '../../src/kernel/netlink-exchange.ts'

/** A kernel that answers when the test wants it to. */
export class FakeSocket implements ExchangeSocket {
  readonly sent: Buffer[] = []
  #listener: ((message: Buffer) => void) | undefined
  #fail: ((error: Error) => void) | undefined

  on(event: 'message' | 'error', listener: never): void {
    if (event === 'message') this.#listener = listener
    else this.#fail = listener
  }

  send(message: Uint8Array, _options: object, callback: (error?: Error) => void): void {
    this.sent.push(Buffer.from(message))
    callback()
  }

  ref(): void {}
  unref(): void {}
  close(): void {}

  async answer(...messages: readonly Uint8Array[]): Promise<void> {
    const padded = messages.flatMap((message) => [message, Buffer.alloc(-message.length & 3)])
    this.#listener?.(Buffer.concat(padded))
    await nextTurn()
    await nextTurn()
  }

  async fail(): Promise<void> {
    this.#fail?.(new Error('ENOBUFS'))
    await nextTurn()
  }
}

/** `errno` 0: done as asked. */
export function refusal(seq: number, errno: number): Uint8Array {
  const code = Buffer.alloc(4)
  code.writeInt32LE(-errno)
  return encodeMessage({ type: 2, flags: 0, seq }, code, Buffer.alloc(16))
}
