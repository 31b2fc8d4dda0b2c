/** One open watch as bytes on a connection, with the ways in which it can be made to misbehave. */
import { type ServerResponse } from 'node:http'

/** A client that lets this much pile up is cut off, as the API server does, instead of filling our memory. */
const MAX_UNSENT_BYTES = 512 * 1024 * 1024

export class WatchConnection {
  readonly #response: ServerResponse
  readonly #account: (bytes: number) => void
  #held: (string | Buffer)[] | undefined
  #silent = false

  constructor(response: ServerResponse, account: (bytes: number) => void) {
    this.#response = response
    this.#account = account
  }

  /** Sends a frame, or holds it back while paused; nothing leaves a muted connection any more. */
  write(frame: string | Buffer): void {
    if (this.#silent || this.#response.destroyed || this.#response.writableEnded) return
    if (this.#held !== undefined) {
      this.#held.push(frame)
      return
    }
    this.#response.write(frame)
    this.#account(Buffer.byteLength(frame))
    if (this.#response.writableLength > MAX_UNSENT_BYTES) this.#response.destroy()
  }

  pause(): void {
    this.#held ??= []
  }

  resume(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const frame of held) this.write(frame)
  }

  /** From now on the peer gets nothing, not even an end: a dead connection. */
  mute(): void {
    this.#silent = true
  }

  end(): void {
    if (!this.#silent) this.#response.end()
  }

  destroy(): void {
    this.#response.destroy()
  }
}
