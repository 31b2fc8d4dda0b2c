/** Every HTTP request comes in here: faults, authentication, and the way to who answers it. */
import { timingSafeEqual } from 'node:crypto'
import { type IncomingMessage, type ServerResponse } from 'node:http'
import { type Clock } from '../../runtime/clock.ts'
import { type Logger } from '../../runtime/logger.ts'
import { type ClientStats } from './client-stats.ts'
import { Exchange } from './exchange.ts'
import { carryOutFault } from './fault-requests.ts'
import { type Faults } from './faults.ts'
import { parseResourcePath } from './request-path.ts'
import { decodeObject, readBody } from './request-body.ts'
import { type ResourceHandler, verbOf } from './resource-handler.ts'
import { ApiError, methodNotAllowed, pathNotFound, unauthorized } from './status-errors.ts'

export interface RequestRouterParts {
  readonly token: string | undefined
  readonly faults: Faults
  readonly stats: ClientStats
  readonly resources: ResourceHandler
  /** Paths beside the resources (discovery, OpenAPI); `undefined` when the path is not one of them. */
  readonly documents: (exchange: Exchange) => boolean
  readonly clock: Clock
  readonly log: Logger
}

const CLOSING_FAULTS = ['drop-connections', 'refuse-connections', 'clear']
const HEALTH_PATHS = /^\/(healthz|readyz|livez)(\/.*)?$/

export class RequestRouter {
  readonly #parts: RequestRouterParts

  constructor(parts: RequestRouterParts) {
    this.#parts = parts
  }

  /** Answers one request, whatever happens. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const counts = this.#parts.stats.client(request.headers['user-agent'])
    const exchange = new Exchange(request, response, counts)
    counts.requests++
    try {
      await this.#route(exchange)
    } catch (error) {
      if (!(error instanceof ApiError) && !exchange.signal.aborted)
        this.#parts.log.error({ err: error, method: request.method, url: request.url }, 'A request failed')
      exchange.sendError(error)
    }
  }

  async #route(exchange: Exchange): Promise<void> {
    const { pathname } = exchange.url
    if (pathname.startsWith('/lab/')) {
      this.#authenticate(exchange)
      await this.#lab(exchange)
      return
    }
    const path = parseResourcePath(pathname)
    const verb = path === undefined ? undefined : verbOf(exchange, path)
    await this.#parts.faults.gate({
      verb: verb ?? (exchange.request.method ?? '').toLowerCase(),
      resource: path?.definition.plural,
      signal: exchange.signal,
    })
    if (HEALTH_PATHS.test(pathname)) {
      exchange.sendText(200, 'ok', { 'content-type': 'text/plain; charset=utf-8' })
      return
    }
    this.#authenticate(exchange)
    if (path === undefined) {
      if (!this.#parts.documents(exchange)) throw pathNotFound()
      return
    }
    if (verb === undefined) throw methodNotAllowed()
    const label = `${verb} ${path.definition.plural}`
    exchange.counts.byVerb[label] = (exchange.counts.byVerb[label] ?? 0) + 1
    await this.#parts.resources.handle(exchange, path, verb)
  }

  #authenticate(exchange: Exchange): void {
    const { token } = this.#parts
    if (token === undefined) return
    const given = Buffer.from(exchange.request.headers.authorization ?? '')
    const wanted = Buffer.from(`Bearer ${token}`)
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) throw unauthorized()
  }

  async #lab(exchange: Exchange): Promise<void> {
    const { faults, stats, clock } = this.#parts
    const { pathname } = exchange.url
    if (pathname === '/lab/stats') {
      exchange.sendJson(200, stats.snapshot())
      return
    }
    if (pathname !== '/lab/faults') throw pathNotFound()
    // The answer goes out first: some faults close the connection that asked for them.
    if (exchange.request.method === 'POST') {
      // Whatever media type `curl -d` claims, the body is JSON.
      const { bytes } = await readBody(exchange.request)
      const body = decodeObject({ mediaType: '', bytes })
      const closesConnections = CLOSING_FAULTS.some((fault) => fault === body['fault'])
      if (!closesConnections) await carryOutFault(faults, body, clock)
      exchange.sendJson(200, faults.active)
      if (closesConnections) {
        await finished(exchange)
        await carryOutFault(faults, body, clock)
      }
      return
    }
    exchange.sendJson(200, faults.active)
  }
}

function finished(exchange: Exchange): Promise<void> {
  return new Promise((resolve) => {
    if (exchange.response.writableFinished || exchange.signal.aborted) resolve()
    exchange.response.once('finish', resolve)
    exchange.response.once('close', resolve)
  })
}
