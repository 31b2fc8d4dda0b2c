/** One HTTP request with its answer: what handlers read from and write to. */
import { type IncomingMessage, type ServerResponse } from 'node:http'
import { type ClientCounts } from './client-stats.ts'
import { ApiError } from './status-errors.ts'

export class Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly url: URL
  readonly counts: ClientCounts
  /** Aborted when the connection closes, whoever closed it. */
  readonly signal: AbortSignal

  constructor(request: IncomingMessage, response: ServerResponse, counts: ClientCounts) {
    this.request = request
    this.response = response
    this.counts = counts
    this.url = new URL(request.url ?? '/', 'http://lab')
    const closed = new AbortController()
    this.signal = closed.signal
    response.on('close', () => {
      closed.abort()
    })
  }

  get accept(): string {
    return this.request.headers.accept ?? ''
  }

  get query(): URLSearchParams {
    return this.url.searchParams
  }

  sendText(code: number, body: string, headers: Readonly<Record<string, string>> = {}): void {
    const bytes = Buffer.from(body)
    this.counts.bytesSent += bytes.length
    this.response.writeHead(code, {
      'content-type': 'application/json',
      'cache-control': 'no-cache, private',
      ...headers,
      'content-length': `${bytes.length}`,
    })
    this.response.end(bytes)
  }

  sendJson(code: number, body: unknown): void {
    this.sendText(code, JSON.stringify(body))
  }

  /** Answers with a Status; a failure that is none of ours becomes a 500 without its details. */
  sendError(error: unknown): void {
    if (this.response.headersSent) {
      this.response.destroy()
      return
    }
    const apiError =
      error instanceof ApiError
        ? error
        : new ApiError({ code: 500, reason: 'InternalError', message: 'Internal error occurred' })
    const retry =
      apiError.retryAfterSeconds === undefined ? {} : { 'retry-after': `${apiError.retryAfterSeconds}` }
    this.sendText(apiError.code, JSON.stringify(apiError.status), retry)
  }
}
