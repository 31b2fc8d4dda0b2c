/**
 * The few requests that a service proxy makes: list, watch, get, create an event. JSON only. What an answer means is
 * decided here and in watch-error.ts; how it travels, in transport.ts.
 */
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { Clock } from '../runtime/clock.ts'
import type { Credentials } from './credentials.ts'
import { type KubernetesEvent, renderEvent } from './kubernetes-event.ts'
import { stringAt, valueAt } from './json-value.ts'
import { type ListEnvelope, ListScanner } from './list-stream.ts'
import { qualifiedName, type WatchedResource } from './resources.ts'
import { type Answer, type ApiObserver, type Limits, Transport } from './transport.ts'
import { type Attempt, classifyAnswer, messageOf, WatchError } from './watch-error.ts'
import { decodeFrame, FrameSplitter, type WatchFrame } from './watch-stream.ts'

const DEFAULT_LIMITS: Limits = { connectMs: 5_000, answerMs: 60_000, silenceMs: 30_000 }

/** Error bodies are read up to here. */
const LONGEST_ERROR_BODY = 64 * 1024

export interface ApiClientOptions {
  readonly credentials: Credentials
  readonly clock: Clock
  /** Version of the program, for the user agent `fairlead/VERSION`. */
  readonly version: string
  readonly observer?: ApiObserver
  readonly limits?: Partial<Limits>
  /**
   * A watch on which no byte came for so long is dead; default 90 s, because servers send a bookmark about once a
   * minute.
   */
  readonly watchSilenceMs?: number
}

export interface ListQuery {
  /** `0`: whatever the server has in memory; `undefined`: the newest, or the page that `continueToken` continues. */
  readonly resourceVersion?: string | undefined
  readonly continueToken?: string | undefined
  /** Page size; a server may answer with more. */
  readonly limit: number
}

export interface WatchQuery {
  /** Where to continue; `undefined` together with `sendInitialEvents`: begin with everything there is. */
  readonly resourceVersion?: string | undefined
  readonly sendInitialEvents?: boolean
  /** When the server shall end the watch by itself. */
  readonly timeoutSeconds: number
}

export class ApiClient {
  readonly #transport: Transport
  readonly #credentials: Credentials
  readonly #userAgent: string
  readonly #limits: Limits
  readonly #watchSilenceMs: number

  constructor(options: ApiClientOptions) {
    this.#transport = new Transport({
      credentials: options.credentials,
      clock: options.clock,
      observer: options.observer,
    })
    this.#credentials = options.credentials
    this.#userAgent = `fairlead/${options.version}`
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#watchSilenceMs = options.watchSilenceMs ?? 90_000
  }

  /**
   * Asks for one page and hands its objects on in the order and portions in which they come in, so that no page is
   * ever held whole. Throws WatchError.
   */
  async list(
    resource: WatchedResource,
    query: ListQuery,
    options: { readonly signal: AbortSignal; readonly onObjects: (objects: readonly unknown[]) => void },
  ): Promise<ListEnvelope> {
    const attempt: Attempt = { verb: 'list', resource: qualifiedName(resource) }
    const path = pathOf(resource, {
      limit: String(query.limit),
      continue: query.continueToken,
      resourceVersion: query.resourceVersion,
    })
    const answer = await this.#get(attempt, { path, gzip: true, signal: options.signal })
    const scanner = new ListScanner()
    for await (const chunk of unzipped(answer)) {
      const objects = scanner.push(chunk)
      if (objects.length > 0) options.onObjects(objects)
    }
    return scanner.end()
  }

  /**
   * Opens a watch. The frames end when the server ends it in good order (after `timeoutSeconds`). Throws WatchError;
   * an ERROR frame is thrown as the error that its Status means.
   */
  async *watch(
    resource: WatchedResource,
    query: WatchQuery,
    options: { readonly signal: AbortSignal; readonly onOpen?: () => void },
  ): AsyncGenerator<WatchFrame, void, undefined> {
    const attempt: Attempt = { verb: 'watch', resource: qualifiedName(resource) }
    const path = pathOf(resource, {
      watch: 'true',
      allowWatchBookmarks: 'true',
      timeoutSeconds: String(query.timeoutSeconds),
      resourceVersion: query.resourceVersion,
      ...(query.sendInitialEvents === true && {
        sendInitialEvents: 'true',
        resourceVersionMatch: 'NotOlderThan',
      }),
    })
    const limits = { ...this.#limits, silenceMs: this.#watchSilenceMs }
    const answer = await this.#get(attempt, { path, gzip: false, signal: options.signal, limits })
    options.onOpen?.()
    const splitter = new FrameSplitter()
    try {
      for await (const chunk of answer.body()) {
        for (const line of splitter.push(chunk)) yield checked(attempt, decodeFrame(line))
      }
      splitter.end()
    } catch (error) {
      if (!options.signal.aborted) this.#turnAway(error)
      throw error
    }
  }

  /** One JSON document (`/version`, `/api/v1/nodes/NAME`). Throws WatchError. */
  async get(
    path: string,
    options: { readonly resource: string; readonly signal: AbortSignal },
  ): Promise<unknown> {
    const attempt: Attempt = { verb: 'get', resource: options.resource }
    const answer = await this.#get(attempt, { path, gzip: true, signal: options.signal })
    const parts: Buffer[] = []
    for await (const chunk of unzipped(answer)) parts.push(chunk)
    return parseBody(attempt, Buffer.concat(parts).toString('utf8'))
  }

  /** Tells an event. An event that is there already counts as told. Throws WatchError. */
  async createEvent(event: KubernetesEvent, signal: AbortSignal): Promise<void> {
    const attempt: Attempt = { verb: 'create', resource: 'events.events.k8s.io' }
    const answer = await this.#transport.send({
      attempt,
      method: 'POST',
      path: `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(event.namespace)}/events`,
      headers: { ...this.#headers(), 'content-type': 'application/json' },
      body: renderEvent(event),
      limits: this.#limits,
      signal,
    })
    const body = await errorBody(answer)
    if (answer.status >= 300 && answer.status !== 409) throw classifyAnswer(attempt, refusalOf(answer, body))
  }

  /** The server refused the credentials: read them again before the next request. */
  refreshCredentials(): void {
    this.#credentials.refresh()
  }

  close(): void {
    this.#transport.close()
  }

  #headers(): Record<string, string> {
    return { accept: 'application/json', 'user-agent': this.#userAgent }
  }

  async #get(
    attempt: Attempt,
    request: {
      readonly path: string
      readonly gzip: boolean
      readonly signal: AbortSignal
      readonly limits?: Limits
    },
  ): Promise<Answer> {
    const answer = await this.#transport.send({
      attempt,
      method: 'GET',
      path: request.path,
      headers: { ...this.#headers(), ...(request.gzip && { 'accept-encoding': 'gzip' }) },
      limits: request.limits ?? this.#limits,
      signal: request.signal,
    })
    if (answer.status === 200) return answer
    const error = classifyAnswer(attempt, refusalOf(answer, await errorBody(answer)))
    this.#turnAway(error)
    throw error
  }

  /** A server that is silent or ill need not be the one we ask next. */
  #turnAway(error: unknown): void {
    if (!(error instanceof WatchError)) return
    if (error.code === 'timeout' || error.code === 'server') this.#transport.moveOn()
  }
}

function pathOf(resource: WatchedResource, query: Readonly<Record<string, string | undefined>>): string {
  const all = { labelSelector: resource.labelSelector, fieldSelector: resource.fieldSelector, ...query }
  const given = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined)
  return `${resource.path}?${new URLSearchParams(given).toString()}`
}

function checked(attempt: Attempt, frame: WatchFrame): WatchFrame {
  if (frame.type !== 'ERROR') return frame
  const code = valueAt(frame.status, 'code')
  throw classifyAnswer(attempt, { status: typeof code === 'number' ? code : 500, body: frame.status })
}

/** The body as it was before compression. */
function unzipped(answer: Answer): AsyncIterable<Buffer> {
  if (answer.headers['content-encoding'] !== 'gzip') return answer.body()
  return inflate(answer)
}

async function* inflate(answer: Answer): AsyncGenerator<Buffer, void, undefined> {
  // The iteration below reports the failure; pipeline only has to pass it on and to clean up.
  const gunzip = pipeline(answer.body(), createGunzip(), () => undefined)
  try {
    yield* gunzip as AsyncIterable<Buffer>
  } catch (error) {
    if (!/^Z_|^ERR_/.test(stringAt(error, 'code') ?? '')) throw error
    throw new WatchError(
      `Cannot read the answer: it is not gzip (${messageOf(error)}); it is asked for anew`,
      {
        code: 'protocol',
        cause: error,
      },
    )
  }
}

async function errorBody(answer: Answer): Promise<unknown> {
  const parts: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of unzipped(answer)) {
      parts.push(chunk)
      size += chunk.length
      if (size > LONGEST_ERROR_BODY) break
    }
  } catch (error) {
    // The status alone says enough; a body that breaks off adds nothing.
    if (!(error instanceof WatchError)) throw error
  }
  const text = Buffer.concat(parts).toString('utf8')
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

function refusalOf(answer: Answer, body: unknown) {
  return { status: answer.status, body, retryAfter: answer.headers['retry-after'] }
}

function parseBody(attempt: Attempt, text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch (error) {
    throw new WatchError(
      `Cannot ${attempt.verb} ${attempt.resource}: the answer is not JSON; check the address`,
      {
        code: 'protocol',
        cause: error,
      },
    )
  }
}
