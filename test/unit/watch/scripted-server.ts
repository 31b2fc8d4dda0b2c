/** An HTTP server that plays a script: each request is answered by the next step; after the last it keeps silent. */
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https, { type ServerOptions } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export type Step = (response: ServerResponse, request: IncomingMessage) => void

export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers: IncomingMessage['headers']
  readonly body: string
  /** The client's port: the same for requests on one connection. */
  readonly port: number | undefined
}

export class ScriptedServer {
  readonly requests: SeenRequest[] = []
  readonly #server: http.Server
  readonly #scheme: string
  #steps: Step[]

  constructor(steps: readonly Step[], tls?: ServerOptions) {
    this.#steps = [...steps]
    this.#scheme = tls === undefined ? 'http' : 'https'
    this.#server = tls === undefined ? http.createServer(this.#handle) : https.createServer(tls, this.#handle)
  }

  async start(): Promise<this> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return this
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  add(...steps: readonly Step[]): void {
    this.#steps.push(...steps)
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  readonly #handle = (request: IncomingMessage, response: ServerResponse): void => {
    const url = new URL(request.url ?? '/', 'http://server')
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      this.requests.push({
        method: request.method ?? '',
        path: url.pathname,
        query: Object.fromEntries(url.searchParams),
        headers: request.headers,
        body: Buffer.concat(parts).toString(),
        port: request.socket.remotePort,
      })
      this.#steps.shift()?.(response, request)
    })
  }
}

export function object(name: string, resourceVersion: string, more: object = {}): object {
  return { metadata: { namespace: 'default', name, resourceVersion }, ...more }
}

export function frame(type: string, body: unknown): string {
  return `${JSON.stringify({ type, object: body })}\n`
}

export function bookmark(resourceVersion: string, initialEventsEnd = false): string {
  const annotations = initialEventsEnd ? { 'k8s.io/initial-events-end': 'true' } : {}
  return frame('BOOKMARK', { kind: 'Service', metadata: { resourceVersion, annotations } })
}

export function statusOf(code: number, more: object = {}): object {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, message: `status ${code}`, ...more }
}

/** Answers with a Status and ends. */
export function refuse(code: number, headers: Record<string, string> = {}, more: object = {}): Step {
  return (response) => {
    response.writeHead(code, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify(statusOf(code, more)))
  }
}

/** Answers 200 with these pieces, each a chunk of its own, and keeps the connection open. */
export function stream(...pieces: readonly (string | Buffer)[]): Step {
  return (response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    for (const piece of pieces) response.write(piece)
  }
}

/** As `stream`, and then ends in good order. */
export function streamAndEnd(...pieces: readonly (string | Buffer)[]): Step {
  return (response, request) => {
    stream(...pieces)(response, request)
    response.end()
  }
}

/** As `stream`, and then resets the connection once the pieces are on their way. */
export function streamAndDrop(...pieces: readonly string[]): Step {
  return (response, request) => {
    stream(...pieces)(response, request)
    response.write('', () => setImmediate(() => request.socket.destroy()))
  }
}

/** A page of a list. */
export function page(
  items: readonly object[],
  metadata: { readonly resourceVersion: string; readonly continue?: string },
): Step {
  return streamAndEnd(JSON.stringify({ kind: 'ServiceList', apiVersion: 'v1', metadata, items }))
}

/** Waits until something is so; fails after ten seconds with what was there instead. */
export async function until(isSo: () => boolean, seen: () => unknown = () => undefined): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!isSo()) {
    if (performance.now() > deadline) throw new Error(`did not happen in time: ${JSON.stringify(seen())}`)
    await sleep(5)
  }
}
