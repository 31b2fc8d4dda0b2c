/**
 * Misbehaviour on command: what a client of a real API server meets on bad days. In-process by methods, for other
 * processes by `POST /lab/faults` (fault-requests.ts).
 */
import { type Clock } from '../../runtime/clock.ts'
import { type ListPages } from './list-pages.ts'
import { RESOURCES, type ResourceDefinition, storageOf } from './resources.ts'
import { ApiError, badRequest, expired } from './status-errors.ts'
import { type Store } from './store.ts'
import { type WatchHub } from './watch-hub.ts'

/** The listening side, as far as faults need it. */
export interface FaultyTransport {
  dropConnections(): void
  stopListening(): void
  listenAgain(): Promise<void>
}

export interface FailureRule {
  /** The answer's status code, for instance 401, 403, 429 or 503. */
  readonly status: number
  /** How many requests fail; without it all until `clear()`. */
  readonly count?: number
  readonly retryAfterSeconds?: number
  /** Only requests of this verb (`get`, `list`, `watch`, `create`, …). */
  readonly verb?: string
  /** Only requests for this resource, by its plural. */
  readonly resource?: string
}

/** What is asked of a request before it is served. */
export interface FaultyRequest {
  readonly verb: string
  readonly resource: string | undefined
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal
}

export type WatchBreakage = 'garbage' | 'truncated' | 'expired' | 'end'

const REASONS: Readonly<Record<number, readonly [reason: string, message: string]>> = {
  400: ['BadRequest', 'the request was refused by the lab'],
  401: ['Unauthorized', 'Unauthorized'],
  403: ['Forbidden', 'access was forbidden by the lab'],
  404: ['NotFound', 'the server could not find the requested resource'],
  409: ['Conflict', 'the lab reports a conflict'],
  410: ['Expired', 'The resourceVersion for the provided watch is too old.'],
  422: ['Invalid', 'the request was called invalid by the lab'],
  429: ['TooManyRequests', 'Too many requests, please try again later.'],
  500: ['InternalError', 'Internal error occurred: the lab made this request fail'],
  503: ['ServiceUnavailable', 'the server is currently unable to handle the request'],
  504: ['Timeout', 'Timeout: request did not complete within the allotted timeout'],
}

interface ActiveRule {
  readonly rule: FailureRule
  remaining: number
}

export interface FaultTargets {
  readonly store: Store
  readonly pages: ListPages
  readonly hub: WatchHub
  readonly transport: FaultyTransport
  readonly clock: Clock
}

export class Faults {
  readonly #targets: FaultTargets
  readonly #pausedWatches = new Set<ResourceDefinition>()
  #rules: ActiveRule[] = []
  #delayMs = 0
  #silent = false
  #refusing = false

  constructor(targets: FaultTargets) {
    this.#targets = targets
  }

  /** Closes every connection at once, without a last word. */
  dropConnections(): void {
    this.#targets.transport.dropConnections()
  }

  /** Closes every connection and refuses new ones until `clear()`. */
  refuseConnections(): void {
    this.#refusing = true
    this.#targets.transport.stopListening()
  }

  /** Lets every answer wait; 0 ends it. */
  delay(ms: number): void {
    this.#delayMs = ms
  }

  /** Goes on accepting connections and requests but never sends a byte again until `clear()`. */
  goSilent(): void {
    this.#silent = true
    for (const connection of this.#targets.hub.connections()) connection.mute()
  }

  /** Forgets all past changes: older resource versions and continue tokens are answered with 410. */
  compact(): void {
    this.#targets.store.compact()
    this.#targets.pages.forget()
  }

  /** Lets requests fail with a status code. Rules are tried in the order in which they were added. */
  fail(rule: FailureRule): void {
    this.#rules.push({ rule, remaining: rule.count ?? Number.POSITIVE_INFINITY })
  }

  /** Breaks the open watches of a resource, or all: a line that is no JSON, half a frame, a 410 event, or a clean end. */
  breakWatches(how: WatchBreakage, resource?: string): void {
    const definition = resource === undefined ? undefined : resourceByPlural(resource)
    for (const connection of this.#targets.hub.connections(definition)) {
      if (how === 'garbage')
        connection.write('{"type":"MODIFIED","object":{"kind":\u0000 this is not JSON}}\n')
      if (how === 'truncated') connection.write('{"type":"MODIFIED","object":{"kind":"Serv')
      if (how === 'expired') {
        const object = expired('The resourceVersion for the provided watch is too old.').status
        connection.write(`${JSON.stringify({ type: 'ERROR', object })}\n`)
      }
      if (how !== 'garbage') connection.end()
    }
  }

  /** Holds back everything for the watches of a resource until `resumeWatch()` or `clear()`; nothing is lost. */
  pauseWatch(resource: string): void {
    const definition = resourceByPlural(resource)
    this.#pausedWatches.add(definition)
    this.#targets.hub.pause(definition)
  }

  resumeWatch(resource: string): void {
    const definition = resourceByPlural(resource)
    this.#pausedWatches.delete(definition)
    this.#targets.hub.resume(definition)
  }

  /** Ends every lasting fault. Connections that a silence has made useless are closed. */
  async clear(): Promise<void> {
    this.#rules = []
    this.#delayMs = 0
    for (const definition of this.#pausedWatches) this.#targets.hub.resume(definition)
    this.#pausedWatches.clear()
    if (this.#silent) {
      this.#silent = false
      this.#targets.transport.dropConnections()
    }
    if (this.#refusing) {
      this.#refusing = false
      await this.#targets.transport.listenAgain()
    }
  }

  /** The lasting faults in force. */
  get active(): Readonly<Record<string, unknown>> {
    return {
      delayMs: this.#delayMs,
      silent: this.#silent,
      refusing: this.#refusing,
      pausedWatches: [...this.#pausedWatches].map((definition) => definition.plural),
      failures: this.#rules.map(({ rule, remaining }) => ({ ...rule, remaining })),
    }
  }

  /** Lets a request pass, wait, wait forever, or fail with an ApiError. */
  async gate(request: FaultyRequest): Promise<void> {
    if (this.#silent) await goneAway(request.signal)
    if (this.#delayMs > 0) await this.#targets.clock.sleep(this.#delayMs, request.signal)
    const active = this.#rules.find(({ rule }) => applies(rule, request))
    if (active === undefined) return
    active.remaining--
    if (active.remaining <= 0) this.#rules = this.#rules.filter((other) => other !== active)
    throw failureOf(active.rule)
  }
}

function applies(rule: FailureRule, request: FaultyRequest): boolean {
  return (
    (rule.verb === undefined || rule.verb === request.verb) &&
    (rule.resource === undefined || rule.resource === request.resource)
  )
}

function failureOf(rule: FailureRule): ApiError {
  const [reason, message] = REASONS[rule.status] ?? ['InternalError', 'the lab made this request fail']
  return new ApiError({
    code: rule.status,
    reason,
    message,
    ...(rule.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: rule.retryAfterSeconds }),
  })
}

function resourceByPlural(plural: string): ResourceDefinition {
  const found = RESOURCES.find((definition) => definition.plural === plural)
  if (found === undefined) throw badRequest(`Cannot disturb "${plural}": no such resource; use its plural`)
  return storageOf(found)
}

/** Never resolves; rejects when the client has gone away. */
function goneAway(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const fail = () => {
      reject(new Error('the client has gone away'))
    }
    if (signal.aborted) fail()
    else signal.addEventListener('abort', fail, { once: true })
  })
}
