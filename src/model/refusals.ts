import { asObject, asText, escapeText, isAbsent, type JsonObject, quoteValue } from './json-object.ts'
import type { Rejected } from './rejected.ts'

/** One object cannot fill the logs: what comes after this many refused fields is only counted. */
const MOST_REFUSALS = 20

const LONGEST_NAME = 253

/** Who an API object is, as far as it says so. */
export interface ObjectIdentity {
  readonly kind: Rejected['kind']
  readonly namespace: string
  readonly name: string
  readonly resourceVersion: string
  readonly metadata: JsonObject
}

/** Collects what is refused of one object. */
export class Refusals {
  readonly #identity: Pick<ObjectIdentity, 'kind' | 'namespace' | 'name' | 'resourceVersion'>
  readonly #list: Rejected[] = []
  #more = 0

  constructor(identity: Pick<ObjectIdentity, 'kind' | 'namespace' | 'name' | 'resourceVersion'>) {
    this.#identity = identity
  }

  /** `problem` goes on after the quoted value: `is not an IP address; the entry is left out`. */
  refuse(field: string, value: unknown, problem: string): void {
    if (this.#list.length < MOST_REFUSALS)
      this.#list.push(this.#rejected(field, `${quoteValue(value)} ${problem}`))
    else this.#more++
  }

  list(): readonly Rejected[] {
    if (this.#more === 0) return this.#list
    return [...this.#list, this.#rejected('*', `${this.#more} more fields are refused`)]
  }

  #rejected(field: string, reason: string): Rejected {
    const { kind, namespace, name, resourceVersion } = this.#identity
    const object = [namespace, name].filter((part) => part !== '').join('/') || '?'
    return { kind, object, resourceVersion, field, reason }
  }
}

/**
 * Name, namespace and version of an object, or why it cannot be one. Only characters that the API server allows in
 * some name are let in: names become keys with `/` and `:` between them, and comments in rules.
 */
export function identify(kind: Rejected['kind'], value: unknown): ObjectIdentity | Rejected {
  const metadata = asObject(asObject(value)['metadata'])
  const namespaced = kind === 'Service' || kind === 'EndpointSlice'
  const name = metadata['name']
  const namespace = namespaced ? metadata['namespace'] : ''
  const resourceVersion = escapeText(asText(metadata['resourceVersion']) ?? '')
  if (isName(name) && (!namespaced || isName(namespace)))
    return { kind, namespace: asText(namespace) ?? '', name, resourceVersion, metadata }
  const field = isName(name) ? 'metadata.namespace' : 'metadata.name'
  const refusals = new Refusals({
    kind,
    namespace: escapeText(asText(namespace) ?? ''),
    name: escapeText(asText(name) ?? ''),
    resourceVersion,
  })
  refusals.refuse(field, isName(name) ? namespace : name, 'is not a name; the object is left out')
  return refusals.list()[0] as Rejected
}

/** Letters, digits, `-`, `.` and `_`, as the API server's rules for all kinds of names together. */
export function isName(value: unknown): value is string {
  return (
    typeof value === 'string' && value.length <= LONGEST_NAME && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(value)
  )
}

/** `resourceVersion` is only in the identity, `reason` only in a refusal. */
export function isRejected(value: object): value is Rejected {
  return 'reason' in value
}

/** A port number, or `undefined` for anything else; absent and 0 are `undefined` without a refusal. */
export function readPort(
  value: unknown,
  field: string,
  refuse: { readonly refusals: Refusals; readonly consequence: string },
): number | undefined {
  if (isAbsent(value) || value === 0) return undefined
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65535) return value
  refuse.refusals.refuse(field, value, `is not a port number; ${refuse.consequence}`)
  return undefined
}
