import { type Json, type JsonObject, withoutUndefined } from './json.ts'

/** One reason why an object is invalid, as `details.causes` of a Status carries it. */
export interface FieldProblem {
  readonly reason:
    | 'FieldValueRequired'
    | 'FieldValueInvalid'
    | 'FieldValueNotSupported'
    | 'FieldValueDuplicate'
    | 'FieldValueForbidden'
  readonly field: string
  readonly message: string
}

export interface ApiErrorFacts {
  readonly code: number
  readonly reason: string
  readonly message: string
  readonly details?: JsonObject
  /** Sent as the header `Retry-After`. */
  readonly retryAfterSeconds?: number
}

/** A failure that the client is told about as a Kubernetes Status object. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly code: number
  readonly reason: string
  readonly retryAfterSeconds: number | undefined
  readonly #details: JsonObject | undefined

  constructor(facts: ApiErrorFacts) {
    super(facts.message)
    this.code = facts.code
    this.reason = facts.reason
    this.retryAfterSeconds = facts.retryAfterSeconds
    this.#details =
      facts.retryAfterSeconds === undefined
        ? facts.details
        : { ...facts.details, retryAfterSeconds: facts.retryAfterSeconds }
  }

  get status(): JsonObject {
    return withoutUndefined({
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      reason: this.reason,
      details: this.#details,
      code: this.code,
    })
  }
}

/** What an error message calls the object: `services "web"`, or `endpointslices.discovery.k8s.io "web-1"`. */
export interface Subject {
  readonly group: string
  readonly plural: string
  readonly kind: string
}

function qualified(subject: Subject): string {
  return subject.group === '' ? subject.plural : `${subject.plural}.${subject.group}`
}

function detailsOf(subject: Subject, name: string): JsonObject {
  return withoutUndefined({
    name,
    group: subject.group === '' ? undefined : subject.group,
    kind: subject.plural,
  })
}

export function notFound(subject: Subject, name: string): ApiError {
  return new ApiError({
    code: 404,
    reason: 'NotFound',
    message: `${qualified(subject)} "${name}" not found`,
    details: detailsOf(subject, name),
  })
}

export function pathNotFound(): ApiError {
  return new ApiError({
    code: 404,
    reason: 'NotFound',
    message: 'the server could not find the requested resource',
    details: {},
  })
}

export function alreadyExists(subject: Subject, name: string): ApiError {
  return new ApiError({
    code: 409,
    reason: 'AlreadyExists',
    message: `${qualified(subject)} "${name}" already exists`,
    details: detailsOf(subject, name),
  })
}

const MODIFIED = 'the object has been modified; please apply your changes to the latest version and try again'

export function conflict(subject: Subject, name: string, why: string = MODIFIED): ApiError {
  return new ApiError({
    code: 409,
    reason: 'Conflict',
    message: `Operation cannot be fulfilled on ${qualified(subject)} "${name}": ${why}`,
    details: detailsOf(subject, name),
  })
}

/** 422 with one cause per problem, in the API server's own wording. */
export function invalid(subject: Subject, name: string, problems: readonly FieldProblem[]): ApiError {
  const texts = problems.map((problem) => `${problem.field}: ${problem.message}`)
  const list = texts.length === 1 ? (texts[0] ?? '') : `[${texts.join(', ')}]`
  const kind = subject.group === '' ? subject.kind : `${subject.kind}.${subject.group}`
  const causes: Json = problems.map(({ reason, message, field }) => ({ reason, message, field }))
  return new ApiError({
    code: 422,
    reason: 'Invalid',
    message: `${kind} "${name}" is invalid: ${list}`,
    details: { ...detailsOf(subject, name), kind: subject.kind, causes },
  })
}

export function badRequest(message: string): ApiError {
  return new ApiError({ code: 400, reason: 'BadRequest', message })
}

export function unauthorized(): ApiError {
  return new ApiError({ code: 401, reason: 'Unauthorized', message: 'Unauthorized' })
}

export function methodNotAllowed(): ApiError {
  return new ApiError({
    code: 405,
    reason: 'MethodNotAllowed',
    message: 'the server does not allow this method on the requested resource',
  })
}

export function unsupportedMediaType(supported: string): ApiError {
  return new ApiError({
    code: 415,
    reason: 'UnsupportedMediaType',
    message: `the body of the request was in an unknown format - accepted media types include: ${supported}`,
  })
}

export function expired(message: string): ApiError {
  return new ApiError({ code: 410, reason: 'Expired', message })
}

export function tooOldResourceVersion(wanted: number, oldest: number): ApiError {
  return expired(`too old resource version: ${wanted} (${oldest})`)
}

/** 504, as a server answers that has not reached the wanted revision yet (for instance after it lost its data). */
export function tooLargeResourceVersion(wanted: number, current: number): ApiError {
  return new ApiError({
    code: 504,
    reason: 'Timeout',
    message: `Too large resource version: ${wanted}, current: ${current}`,
    details: { causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }] },
    retryAfterSeconds: 1,
  })
}
