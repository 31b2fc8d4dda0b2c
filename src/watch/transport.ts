/**
 * One HTTP exchange with whichever API server answers. Several servers may be given: they are tried in turn, and the
 * one that answered last is asked first the next time. Connections are kept alive and shared; TLS follows the
 * credentials.
 */
import http, { type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import https from 'node:https'
import type { Clock } from '../runtime/clock.ts'
import { ownTurn } from '../runtime/own-turn.ts'
import type { Access, Credentials } from './credentials.ts'
import { stringAt } from './json-value.ts'
import type { TlsMaterial } from './kubeconfig.ts'
import { type Attempt, messageOf, WatchError } from './watch-error.ts'
import { Watchdog } from './watchdog.ts'

/** A TCP connection whose other side is gone without a word is found out by the kernel in a few minutes at worst. */
const TCP_KEEP_ALIVE_MS = 30_000

export interface Limits {
  /** Until TCP and TLS stand. */
  readonly connectMs: number
  /** From the request to the first byte of the answer. */
  readonly answerMs: number
  /** Between two pieces of an answer. */
  readonly silenceMs: number
}

/** For metrics; called for every request that was sent, and for received bytes. */
export interface ApiObserver {
  /** `code` is the HTTP status, or `error` when there was no answer. */
  onRequest(request: {
    readonly verb: Attempt['verb']
    readonly host: string
    readonly code: string
    readonly durationMs: number
  }): void
  /** Bytes of bodies as they came over the wire, that is, still compressed. */
  onBytes(bytes: { readonly host: string; readonly count: number }): void
}

export interface TransportRequest {
  readonly attempt: Attempt
  readonly method: 'GET' | 'POST'
  /** Path and query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly limits: Limits
  readonly signal: AbortSignal
}

/** An answer whose body is still to be read, or to be given up by `close`. */
export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /**
   * The body's bytes as they come, a piece per turn of the event loop: of a connection that has much to read, libuv
   * hands over up to 2 MB at once, which takes longer to work on than others can wait. Throws WatchError; nothing is
   * left open when it ends or is left early.
   */
  body(): AsyncGenerator<Buffer, void, undefined>
  close(): void
}

export interface TransportOptions {
  readonly credentials: Credentials
  readonly clock: Clock
  readonly observer: ApiObserver | undefined
}

interface Agents {
  readonly tls: TlsMaterial
  readonly http: http.Agent
  readonly https: https.Agent
}

export class Transport {
  readonly #options: TransportOptions
  #agents: Agents | undefined
  #servers: readonly string[] = []
  #preferred: string | undefined

  constructor(options: TransportOptions) {
    this.#options = options
  }

  /**
   * Sends a request to the first server that answers, with whatever status. Throws WatchError `unreachable` or
   * `timeout` when none does, and the signal's reason when it is aborted.
   */
  async send(request: TransportRequest): Promise<Answer> {
    request.signal.throwIfAborted()
    const access = await this.#options.credentials.current(request.signal)
    this.#servers = access.servers
    const failures: ServerFailure[] = []
    for (const server of this.#inTurn(access.servers)) {
      const result = await this.#ask(server, access, request)
      if (!(result instanceof ServerFailure)) {
        this.#preferred = server
        return result
      }
      request.signal.throwIfAborted()
      failures.push(result)
    }
    throw nobodyAnswered(request.attempt, failures)
  }

  /** Asks another server first the next time, if there is one. Used after silence and after 5xx. */
  moveOn(): void {
    const [, next] = this.#inTurn(this.#servers)
    if (next !== undefined) this.#preferred = next
  }

  /** Closes idle connections. Requests that are under way are ended by their own signals. */
  close(): void {
    retire(this.#agents)
    this.#agents = undefined
  }

  #inTurn(servers: readonly string[]): readonly string[] {
    const first = Math.max(0, servers.indexOf(this.#preferred ?? ''))
    return [...servers.slice(first), ...servers.slice(0, first)]
  }

  async #ask(server: string, access: Access, request: TransportRequest): Promise<Answer | ServerFailure> {
    const { clock, observer } = this.#options
    const startedMs = clock.monotonic()
    const exchange = new Exchange(server, request, this.#options)
    const agents = this.#agentsFor(access.tls)
    let result = await exchange.run(access, agents)
    // A kept connection that the server closes while we write to it says nothing about the server.
    if (result instanceof ServerFailure && result.wasReused) {
      result = await new Exchange(server, request, this.#options).run(access, agents)
    }
    observer?.onRequest({
      verb: request.attempt.verb,
      host: new URL(server).host,
      code: result instanceof ServerFailure ? 'error' : String(result.status),
      durationMs: clock.monotonic() - startedMs,
    })
    return result
  }

  #agentsFor(tls: TlsMaterial): Agents {
    if (this.#agents?.tls === tls) return this.#agents
    retire(this.#agents)
    const proxyEnv =
      tls.proxyUrl === undefined ? undefined : { HTTP_PROXY: tls.proxyUrl, HTTPS_PROXY: tls.proxyUrl }
    const pool = { keepAlive: true, ...(proxyEnv !== undefined && { proxyEnv }) }
    const secure = {
      rejectUnauthorized: tls.verify,
      ...(tls.ca !== undefined && { ca: tls.ca }),
      ...(tls.cert !== undefined && { cert: tls.cert }),
      ...(tls.key !== undefined && { key: tls.key }),
      ...(tls.serverName !== undefined && { servername: tls.serverName }),
    }
    this.#agents = { tls, http: new http.Agent(pool), https: new https.Agent({ ...pool, ...secure }) }
    return this.#agents
  }
}

/** Open watches keep running on their connection; only idle ones are closed. */
function retire(agents: Agents | undefined): void {
  for (const agent of agents === undefined ? [] : [agents.http, agents.https]) {
    agent.maxFreeSockets = 0
    for (const sockets of Object.values(agent.freeSockets)) {
      for (const socket of sockets ?? []) socket.destroy()
    }
  }
}

/** A server that gave no answer, and why. */
class ServerFailure {
  readonly server: string
  readonly error: unknown
  readonly timedOut: boolean
  /** The connection had served an earlier request and broke before the answer. */
  readonly wasReused: boolean

  constructor(
    server: string,
    error: unknown,
    facts: { readonly timedOut: boolean; readonly wasReused: boolean },
  ) {
    this.server = server
    this.error = error
    this.timedOut = facts.timedOut
    this.wasReused = facts.wasReused
  }
}

/** One request to one server, from connecting to the last byte, under one watchdog. */
class Exchange {
  readonly #server: string
  readonly #request: TransportRequest
  readonly #options: TransportOptions
  readonly #watchdog: Watchdog

  constructor(server: string, request: TransportRequest, options: TransportOptions) {
    this.#server = server
    this.#request = request
    this.#options = options
    this.#watchdog = new Watchdog({
      clock: options.clock,
      limitMs: request.limits.connectMs,
      outer: request.signal,
    })
  }

  async run(access: Access, agents: Agents): Promise<Answer | ServerFailure> {
    const sent = this.#send(access, agents)
    try {
      const message = await new Promise<IncomingMessage>((resolve, reject) => {
        sent.once('response', resolve)
        sent.on('error', reject)
      })
      this.#watchdog.restart(this.#request.limits.silenceMs)
      return this.#answer(message)
    } catch (error) {
      this.#watchdog.close()
      const wasReused = sent.reusedSocket && !this.#watchdog.signal.aborted
      return new ServerFailure(this.#server, error, { timedOut: this.#watchdog.expired, wasReused })
    }
  }

  #send(access: Access, agents: Agents): http.ClientRequest {
    const url = new URL(this.#server + this.#request.path)
    const secure = url.protocol === 'https:'
    const { body, limits } = this.#request
    const sent = (secure ? https : http).request(url, {
      method: this.#request.method,
      agent: secure ? agents.https : agents.http,
      headers: {
        ...this.#request.headers,
        ...access.headers,
        ...(body !== undefined && { 'content-length': String(Buffer.byteLength(body)) }),
      },
      signal: this.#watchdog.signal,
    })
    sent.once('socket', (socket) => {
      socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS)
      const connected = (): void => this.#watchdog.restart(limits.answerMs)
      if (!socket.connecting && sent.reusedSocket) connected()
      else socket.once(secure ? 'secureConnect' : 'connect', connected)
    })
    sent.end(body)
    return sent
  }

  #answer(message: IncomingMessage): Answer {
    const close = (): void => {
      this.#watchdog.close()
      // A body that was read to its end leaves the connection for the next request.
      if (!message.readableEnded) message.destroy()
    }
    return {
      status: message.statusCode ?? 0,
      headers: message.headers,
      body: () => this.#body(message, close),
      close,
    }
  }

  async *#body(message: IncomingMessage, close: () => void): AsyncGenerator<Buffer, void, undefined> {
    const host = new URL(this.#server).host
    try {
      for await (const chunk of message as AsyncIterable<Buffer>) {
        this.#watchdog.touch()
        this.#options.observer?.onBytes({ host, count: chunk.length })
        yield chunk
        await ownTurn()
      }
    } catch (error) {
      this.#request.signal.throwIfAborted()
      throw this.#brokenOff(error)
    } finally {
      close()
    }
  }

  #brokenOff(error: unknown): WatchError {
    const { verb, resource } = this.#request.attempt
    const what = `Cannot ${verb} ${resource} from ${this.#server}`
    if (this.#watchdog.expired) {
      return new WatchError(
        `${what}: no byte for ${this.#watchdog.limitMs} ms; another connection is tried`,
        {
          code: 'timeout',
        },
      )
    }
    return new WatchError(`${what}: the connection broke (${messageOf(error)}); it is made anew`, {
      code: 'unreachable',
      cause: error,
    })
  }
}

function nobodyAnswered(attempt: Attempt, failures: readonly ServerFailure[]): WatchError {
  const said = failures.map(({ server, error, timedOut }) =>
    timedOut ? `${server} gave no answer in time` : `${server} ${messageOf(error)}`,
  )
  const last = failures.at(-1)
  return new WatchError(
    `Cannot ${attempt.verb} ${attempt.resource}: ${said.join(', ')}; ${remedyOf(last?.error)}`,
    {
      code: failures.every(({ timedOut }) => timedOut) ? 'timeout' : 'unreachable',
      cause: last?.error,
    },
  )
}

function remedyOf(error: unknown): string {
  const code = stringAt(error, 'code') ?? ''
  if (/CERT|SIGNATURE|ISSUER|CHAIN|ALTNAME/.test(code)) {
    return "check certificate-authority and tls-server-name of the kubeconfig against the server's certificate"
  }
  if (/SSL|EPROTO/.test(code))
    return 'check that the address is an HTTPS port and the client certificate is right'
  return 'check the addresses of the API servers and the network between'
}
