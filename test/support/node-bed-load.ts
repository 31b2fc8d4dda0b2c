/** Connections that never pause: what a busy client of a service would notice while the rules are being changed. */
import { readFileSync } from 'node:fs'
import { type Socket, connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Attempt, type AttemptRequest, attempt } from './node-bed-attempt.ts'

export interface LoadRequest extends AttemptRequest {
  /** So many new connections (or datagrams) are under way at any time. */
  readonly fresh: number
  /** So many TCP connections are opened once and then asked for an echo again and again. */
  readonly held: number
  /** Source ports of the new connections, each in turn; otherwise the kernel chooses, and may choose one again. */
  readonly ports?: { readonly first: number; readonly last: number }
}

export interface LoadReport {
  /** Fresh connections that were answered, by `ip:port` of the answering socket. */
  readonly answered: Readonly<Record<string, number>>
  /** Fresh connections that failed: what happened, how long after the start, at most 20 of them. */
  readonly failures: readonly string[]
  readonly failed: number
  /** First packets of TCP connections that got no answer and were sent again, by any client of the namespace. */
  readonly lostSyns: number
  /** Echoes that held connections received. */
  readonly echoes: number
  /** How held connections ended early. */
  readonly broken: readonly string[]
}

const ECHO_PAUSE_MS = 10
/** A busy machine is slow for seconds; a connection that nobody answers hangs for minutes. */
export const HANG_MS = 15_000

export class LoadGenerator {
  readonly #request: LoadRequest
  readonly #startedMs = performance.now()
  readonly #answered = new Map<string, number>()
  readonly #failures: string[] = []
  readonly #broken: string[] = []
  readonly #held: { readonly socket: Socket; echoes: number }[] = []
  readonly #workers: Promise<void>[]
  #asked = 0
  #failed = 0
  readonly #synsBefore = synsSentAgain()
  #echoes = 0
  #stopping = false
  #over = false

  constructor(request: LoadRequest) {
    this.#request = request
    for (let i = 0; i < request.held; i++) this.#hold()
    this.#workers = Array.from({ length: request.fresh }, () => this.#ask())
  }

  async stop(): Promise<LoadReport> {
    this.#stopping = true
    await Promise.all(this.#workers)
    await Promise.all(this.#held.map((one) => this.#lastEcho(one)))
    this.#over = true
    for (const { socket } of this.#held) socket.resetAndDestroy()
    return {
      answered: Object.fromEntries(this.#answered),
      failures: this.#failures,
      failed: this.#failed,
      lostSyns: synsSentAgain() - this.#synsBefore,
      echoes: this.#echoes,
      broken: this.#broken,
    }
  }

  /** A connection that died without a word shows only now: it has no answer to the next question. */
  async #lastEcho(held: { readonly socket: Socket; readonly echoes: number }): Promise<void> {
    const before = held.echoes
    const deadline = performance.now() + this.#request.timeoutMs
    while (held.echoes === before && !held.socket.destroyed) {
      if (performance.now() > deadline) {
        this.#broken.push(`silence after ${this.#elapsedMs()} ms`)
        return
      }
      await sleep(ECHO_PAUSE_MS)
    }
  }

  async #ask(): Promise<void> {
    while (!this.#stopping) this.#note(await attempt({ ...this.#request, ...this.#nextPort() }))
  }

  #nextPort(): { readonly sourcePort?: number } {
    const { ports } = this.#request
    if (ports === undefined) return {}
    return { sourcePort: ports.first + (this.#asked++ % (ports.last - ports.first + 1)) }
  }

  #note(result: Attempt): void {
    if (result.kind === 'answer') {
      const endpoint = `${result.ip}:${result.port}`
      this.#answered.set(endpoint, (this.#answered.get(endpoint) ?? 0) + 1)
      return
    }
    this.#failed++
    if (this.#failures.length < 20)
      this.#failures.push(
        `${result.kind === 'error' ? result.code : 'silence'} after ${this.#elapsedMs()} ms`,
      )
  }

  #elapsedMs(): number {
    return Math.round(performance.now() - this.#startedMs)
  }

  #hold(): void {
    const { destIp, destPort, sourceIp } = this.#request
    const socket = connect({ host: destIp, port: destPort, localAddress: sourceIp, noDelay: true })
    const held = { socket, echoes: 0 }
    this.#held.push(held)
    let greeting = true
    const broke = (why: string): void => {
      if (!this.#over) this.#broken.push(`${why} after ${this.#elapsedMs()} ms`)
    }
    socket.on('error', (error: NodeJS.ErrnoException) => broke(error.code ?? error.message))
    socket.on('end', () => broke('closed'))
    socket.on('data', () => {
      if (!greeting) this.#echoes++
      if (!greeting) held.echoes++
      greeting = false
      setTimeout(() => socket.writable && socket.write('still there?'), ECHO_PAUSE_MS)
    })
  }
}

/** Counted by the kernel for this network namespace, so a slow machine looks different from a lost packet. */
function synsSentAgain(): number {
  const lines = readFileSync('/proc/self/net/netstat', 'utf8').split('\n')
  const [names = [], values = []] = lines
    .filter((line) => line.startsWith('TcpExt:'))
    .map((line) => line.split(' '))
  return Number(values[names.indexOf('TCPSynRetrans')])
}
