/**
 * What went wrong between us and the API server. HTTP answers and Status objects are classified here, once; all other
 * code looks at `code` alone.
 */
import { stringAt, valueAt } from './json-value.ts'

export type WatchErrorCode =
  /** The resourceVersion or the continue token is too old, or from another history: list again. */
  | 'gone'
  /** 401: the credentials are wrong or have expired. */
  | 'unauthorized'
  /** 403: a permission is missing; the message names it. */
  | 'forbidden'
  /** 404: the server does not have this resource. */
  | 'missing'
  /** No connection, a failed TLS handshake, or a connection that broke. */
  | 'unreachable'
  /** The server sent something that is not what the API promises. */
  | 'protocol'
  /** Nothing came in time. */
  | 'timeout'
  /** 429: the server asks us to wait. */
  | 'throttled'
  /** 400 or 422: the server does not understand the request; a newer feature is missing there. */
  | 'unsupported'
  /** 5xx and every other answer. */
  | 'server'

export interface WatchFacts {
  readonly code: WatchErrorCode
  /** HTTP status, when there was an answer. */
  readonly status?: number | undefined
  /** How long the server asks us to wait, in milliseconds. */
  readonly retryAfterMs?: number | undefined
  readonly cause?: unknown
}

export class WatchError extends Error {
  override readonly name = 'WatchError'
  readonly code: WatchErrorCode
  readonly status: number | undefined
  readonly retryAfterMs: number | undefined

  constructor(message: string, facts: WatchFacts) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause })
    this.code = facts.code
    this.status = facts.status
    this.retryAfterMs = facts.retryAfterMs
  }
}

/** What an error says, in one harmless line. Errors are asked for their fields: not all come from our own realm. */
export function messageOf(error: unknown): string {
  const said = stringAt(error, 'message')?.split('\n')[0] ?? stringAt(error, 'code') ?? String(error)
  return printable(said)
}

/** What was attempted, in the words of RBAC: `list` on `endpointslices.discovery.k8s.io`. */
export interface Attempt {
  readonly verb: 'get' | 'list' | 'watch' | 'create'
  readonly resource: string
}

/** Foreign text made safe for a log line: control characters become spaces, and length is bounded. */
export function printable(text: string): string {
  const line = text
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .slice(0, 300)
  return line === '' ? 'no message' : line
}

/**
 * Turns an answer that is not a success into an error. `body` is what the server sent: a Status object, or anything.
 * `retryAfter` is the header of that name.
 */
export function classifyAnswer(
  attempt: Attempt,
  answer: { readonly status: number; readonly body: unknown; readonly retryAfter?: string | undefined },
): WatchError {
  const { status, body } = answer
  const said = printable(stringAt(body, 'message') ?? (typeof body === 'string' ? body : ''))
  const code = codeOf(status, body)
  return new WatchError(
    `Cannot ${attempt.verb} ${attempt.resource}: ${explain(code, { attempt, status, said })}`,
    {
      code,
      status,
      retryAfterMs: retryAfterMs(answer.retryAfter, body),
    },
  )
}

/** Facts and remedy. */
function explain(
  code: WatchErrorCode,
  answer: { readonly attempt: Attempt; readonly status: number; readonly said: string },
): string {
  const { attempt, status, said } = answer
  const words: Partial<Record<WatchErrorCode, string>> = {
    unauthorized: `the API server does not accept the credentials (401, ${said}); renew the token or certificate`,
    forbidden: `forbidden by the API server (${said}); ${missingPermission(attempt, said)}`,
    missing: `the API server has no such resource (404, ${said}); check the version of the server`,
    throttled: `the API server is busy (429, ${said}); it is asked again later`,
    gone: `the requested version is gone (${status}, ${said}); it is listed anew`,
    protocol: `the API server answered ${status} (${said}); check that the address is that of an API server`,
  }
  return words[code] ?? `the API server answered ${status} (${said}); look at its log`
}

function codeOf(status: number, body: unknown): WatchErrorCode {
  if (isFromAnotherHistory(body)) return 'gone'
  if (status >= 300 && status < 400) return 'protocol'
  const codes: Readonly<Record<number, WatchErrorCode>> = {
    400: 'unsupported',
    401: 'unauthorized',
    403: 'forbidden',
    404: 'missing',
    410: 'gone',
    422: 'unsupported',
    429: 'throttled',
  }
  return codes[status] ?? 'server'
}

/**
 * A server that was restored from a backup knows fewer versions than we do. It answers 504 with this cause, for ever;
 * only a new list helps.
 */
function isFromAnotherHistory(body: unknown): boolean {
  const causes = valueAt(body, 'details', 'causes')
  return (
    Array.isArray(causes) && causes.some((cause) => stringAt(cause, 'reason') === 'ResourceVersionTooLarge')
  )
}

/** The remedy of a 403. One grant covers both verbs that a reflector needs, so both are named at once. */
function missingPermission(attempt: Attempt, said: string): string {
  const user = /User "([^"]{1,200})"/.exec(said)?.[1]
  const verbs =
    attempt.verb === 'list' || attempt.verb === 'watch' ? '"list" and "watch"' : `"${attempt.verb}"`
  return `grant ${verbs} on "${attempt.resource}" to ${user === undefined ? 'the user of the credentials' : `"${user}"`}`
}

/** `Retry-After` in seconds (the header) or `details.retryAfterSeconds` (the Status); dates are not used by Kubernetes. */
function retryAfterMs(header: string | undefined, body: unknown): number | undefined {
  const seconds = /^\d+$/.test(header ?? '') ? Number(header) : valueAt(body, 'details', 'retryAfterSeconds')
  return typeof seconds === 'number' && Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined
}
