/**
 * An HTTP server that stays up: when it cannot listen it tries again, or gives up at once where the operator asked for
 * that. What is served is the handler's business.
 */
import { type RequestListener, type Server, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Clock } from './clock.ts'
import type { Logger } from './logger.ts'

const RETRY_MS = 5000
/** Nobody has a reason to send us a request slowly; a few such clients must not be able to hold all sockets. */
const REQUEST_TIMEOUT_MS = 10_000

/** A whole answer as a value, so that bytes can be compared without a socket. */
export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** An answer that may be too long for one string. */
export interface StreamedAnswer extends Omit<HttpAnswer, 'body'> {
  readonly body: Readable
}

/** Sends it in one piece with its length, as Go's server does for short answers; a stream as it comes. */
export function send(response: ServerResponse, { status, headers, body }: HttpAnswer | StreamedAnswer): void {
  if (typeof body === 'string') {
    response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) })
    response.end(body)
    return
  }
  response.writeHead(status, headers)
  // A client that goes before the end has had enough.
  pipeline(body, response).catch(() => undefined)
}

/** Go's answer for a path that nobody serves. */
export const NOT_FOUND: HttpAnswer = {
  status: 404,
  headers: { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' },
  body: '404 page not found\n',
}

export interface ListenOn {
  readonly ip: string
  readonly port: number
  /** An IPv6 socket that leaves IPv4 to another one. */
  readonly ipv6Only?: boolean
}

/** Resolves to a server that listens; rejects with what the operating system says. */
export function listen(handler: RequestListener, { ip, port, ipv6Only }: ListenOn): Promise<Server> {
  const server = createServer(
    { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    handler,
  )
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: ip, port, ipv6Only: ipv6Only ?? false }, () => {
      server.off('error', reject)
      resolve(server)
    })
  })
}

/** Frees the port at once and ends open connections. */
export function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

export interface HttpListenerOptions extends ListenOn {
  /** For log lines: `health server`. */
  readonly name: string
  readonly handler: RequestListener
  readonly clock: Clock
  readonly logger: Logger
  /** The first failure rejects `run` instead of being tried again. */
  readonly hardFail: boolean
  /** Told about each failure in a row once. */
  readonly onFailure?: (error: Error) => void
}

export class HttpListener {
  readonly #options: HttpListenerOptions
  #server: Server | undefined

  constructor(options: HttpListenerOptions) {
    this.#options = options
  }

  /** Port that is really listened on, for port 0; `undefined` while not listening. */
  get port(): number | undefined {
    return (this.#server?.address() as AddressInfo | null | undefined)?.port
  }

  /** Serves until the signal is aborted, then resolves with the port free. */
  async run(signal: AbortSignal): Promise<void> {
    const { name, ip, port, clock, logger, hardFail, onFailure } = this.#options
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        this.#server = await listen(this.#options.handler, this.#options)
        logger.info({ server: name, ip, port: this.port, attempt }, 'Listening')
        await this.#untilClosed(this.#server, signal)
      } catch (cause) {
        const error = listenError(name, `${ip}:${port}`, cause)
        if (attempt === 1) onFailure?.(error)
        if (hardFail) throw error
        logger.error({ err: error, attempt, retryInMs: RETRY_MS }, 'Cannot listen')
        await clock.sleep(RETRY_MS, signal).catch(() => undefined)
      }
    }
  }

  async #untilClosed(server: Server, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.once('close', resolve)
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    await close(server)
    this.#server = undefined
  }
}

function listenError(name: string, address: string, cause: unknown): Error {
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
  const remedy =
    code === 'EADDRINUSE'
      ? 'end the process that holds the port (is kube-proxy still running?) or choose another address'
      : 'choose an address of this host'
  return new Error(`Cannot start the ${name} on ${address}: ${code}; ${remedy}`, { cause })
}
