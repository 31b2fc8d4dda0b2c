/**
 * How values of one kind are read from a flag, read from a file, and written back. A setting names its kind once;
 * flags, files, help texts and `--write-config-to` all follow from it. Pure: bad input is returned, never thrown.
 */
import { parseCidr } from '../net/cidr.ts'
import { type Ip, familyOf, hostPort, parseIp } from '../net/ip.ts'
import { type PortRange, formatPortRange, parsePortRange } from '../net/port-range.ts'
import type { ListenAddress } from './config.ts'
import { formatGoDuration, parseGoDuration } from './go-duration.ts'

/** Why a value cannot be used and how to write it: `not a CIDR; write it as 10.0.0.0/16`. */
export class Unusable {
  readonly reason: string

  constructor(reason: string) {
    this.reason = reason
  }
}

export interface ValueType<T> {
  /** The word in help texts and tables. */
  readonly name: string
  /** Reads the text of a flag. */
  parse(text: string): T | Unusable
  /** Reads a value of a YAML or JSON file. */
  decode(value: unknown): T | Unusable
  /** The value as `--write-config-to` puts it into a file. */
  encode(value: T): unknown
  /** Set for kinds that may be given more than once: later values are added to earlier ones. */
  join?(earlier: T, later: T): T
}

/**
 * The value as it appears in messages: one line, control characters escaped, at most 80 characters, without the
 * password that a URL may contain.
 */
export function shown(value: unknown): string {
  const text = (typeof value === 'string' ? value : JSON.stringify(value)).replace(/\/\/[^/@]*@/g, '//…@')
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (char) => {
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
  return line.length > 80 ? `${line.slice(0, 79)}…` : line
}

export interface TextRules {
  readonly name?: string
  readonly pattern?: RegExp
  /** Completes "not …": `an interface name; …`. */
  readonly remedy?: string
}

export function text(rules: TextRules = {}): ValueType<string> {
  const parse = (value: string): string | Unusable => {
    if (value === '' || rules.pattern === undefined || rules.pattern.test(value)) return value
    return new Unusable(`not ${rules.remedy ?? 'allowed'}`)
  }
  return {
    name: rules.name ?? 'string',
    parse,
    decode: (value) => (typeof value === 'string' ? parse(value) : quoteIt(value)),
    encode: (value) => value,
  }
}

function quoteIt(value: unknown): Unusable {
  if (typeof value === 'number' || typeof value === 'boolean')
    return new Unusable(`not a text; write it in quotes as "${String(value)}"`)
  return new Unusable('not a text; write one value in quotes')
}

/** Go's strconv.ParseBool. */
export const bool: ValueType<boolean> = {
  name: 'bool',
  parse: (value) => {
    if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(value)) return true
    if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(value)) return false
    return new Unusable('not a bool; write true or false')
  },
  decode: (value) => {
    if (typeof value === 'boolean') return value
    // kube-proxy reads files as YAML 1.1, where these words are truth values.
    if (typeof value === 'string' && /^(yes|on)$/i.test(value)) return true
    if (typeof value === 'string' && /^(no|off)$/i.test(value)) return false
    return new Unusable('not a bool; write true or false without quotes')
  },
  encode: (value) => value,
}

export function whole(min: number, max: number): ValueType<number> {
  const check = (value: number): number | Unusable =>
    value >= min && value <= max
      ? value
      : new Unusable(`outside ${min} to ${max}; write a number within these limits`)
  return {
    name: 'int',
    parse: (value) =>
      /^[+-]?\d{1,10}$/.test(value)
        ? check(Number(value))
        : new Unusable('not a whole number; write it as 10'),
    decode: (value) =>
      Number.isInteger(value)
        ? check(value as number)
        : new Unusable('not a whole number; write it without quotes and without a fraction'),
    encode: (value) => value,
  }
}

export const decimal: ValueType<number> = {
  name: 'float',
  parse: (value) =>
    /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(value)
      ? Number(value)
      : new Unusable('not a number; write it as 5'),
  decode: (value) =>
    typeof value === 'number' && Number.isFinite(value)
      ? value
      : new Unusable('not a number; write it without quotes'),
  encode: (value) => value,
}

export interface DurationRules {
  /** The shortest that is allowed, in milliseconds. */
  readonly minMs?: number
  /** Files may also hold a whole number of nanoseconds (only `logging.flushFrequency`). */
  readonly nanoseconds?: boolean
}

/** Values are milliseconds. */
export function duration(rules: DurationRules = {}): ValueType<number> {
  const check = (ms: number): number | Unusable =>
    rules.minMs !== undefined && ms < rules.minMs
      ? new Unusable(rules.minMs > 0 ? 'not greater than 0; write it as 30s' : 'negative; write 0s or more')
      : ms
  const parse = (value: string): number | Unusable => {
    const ms = parseGoDuration(value)
    if (ms !== undefined) return check(ms)
    const remedy = /^\d+(\.\d+)?$/.test(value) ? `write it with a unit as ${value}s` : 'write it as 1m30s'
    return new Unusable(`not a duration; ${remedy}`)
  }
  return {
    name: 'duration',
    parse,
    decode: (value) => {
      if (typeof value === 'string') return parse(value)
      if (rules.nanoseconds === true && Number.isInteger(value)) return check((value as number) / 1e6)
      return new Unusable('not a duration; write it as 1m30s')
    },
    encode: (value) => formatGoDuration(value),
  }
}

/** One of a few words; the empty text stands for `empty`. */
export function choice<const V extends readonly string[]>(values: V, empty: V[number]): ValueType<V[number]> {
  const parse = (value: string): V[number] | Unusable => {
    if (value === '') return empty
    const found = values.find((known) => known === value)
    if (found !== undefined) return found
    const near = values.find((known) => known.toLowerCase() === value.trim().toLowerCase())
    return new Unusable(
      near === undefined ? `unknown; write one of ${values.join(', ')}` : `unknown; write it as ${near}`,
    )
  }
  return {
    name: values.join('|'),
    parse,
    decode: (value) => (typeof value === 'string' ? parse(value) : quoteIt(value)),
    encode: (value) => value,
  }
}

/** An address, or `undefined` for the empty text. */
export const ipAddress: ValueType<Ip | undefined> = {
  name: 'IP',
  parse: (value) => {
    if (value === '') return undefined
    return parseIp(value) ?? new Unusable('not an IP address; write it as 192.0.2.1 or 2001:db8::1')
  },
  decode: (value) => (typeof value === 'string' ? ipAddress.parse(value) : quoteIt(value)),
  encode: (value) => value ?? '',
}

/** `undefined`: nothing was said. A port of 0: only the address was given. */
export const listenAddress: ValueType<ListenAddress | undefined> = {
  name: 'IP:port',
  parse: (value) => {
    if (value === '') return undefined
    const alone = parseIp(value)
    if (alone !== undefined) return { ip: alone, port: 0 }
    const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(value)
    const ip = match === null ? undefined : parseIp(match[1] ?? match[2] ?? '')
    const bracketed = match?.[1] !== undefined
    if (ip === undefined || bracketed !== (familyOf(ip) === 'IPv6'))
      return new Unusable('not an address and port; write it as 0.0.0.0:10256 or [::]:10256')
    const port = Number(match?.[3])
    if (port < 1 || port > 65535) return new Unusable('not a port; write a port between 1 and 65535')
    return { ip, port }
  },
  decode: (value) => (typeof value === 'string' ? listenAddress.parse(value) : quoteIt(value)),
  encode: (value) => (value === undefined ? '' : hostPort(value.ip, value.port)),
}

/** `undefined` for the empty text. */
export const portRange: ValueType<PortRange | undefined> = {
  name: 'ports',
  parse: (value) => {
    if (value === '') return undefined
    return parsePortRange(value) ?? new Unusable('not a range of ports; write it as 30000-32767')
  },
  decode: (value) => (typeof value === 'string' ? portRange.parse(value) : quoteIt(value)),
  encode: (value) => (value === undefined ? '' : formatPortRange(value)),
}

/** What a text that is no CIDR should have been, guessed from what it looks like. */
export function cidrRemedy(value: string): Unusable {
  const digits = /^\d{1,3}(\.\d{1,3}){0,3}/.exec(value)?.[0]
  const padded =
    digits === undefined ? undefined : parseIp([...digits.split('.'), '0', '0', '0'].slice(0, 4).join('.'))
  const v6 = parseIp(value.split('/')[0] ?? '')
  const v6Example = v6 !== undefined && familyOf(v6) === 'IPv6' ? `${v6}/64` : '10.244.0.0/16'
  return new Unusable(`not a CIDR; write it as ${padded === undefined ? v6Example : `${padded}/16`}`)
}

export function isCidr(value: string): boolean {
  return parseCidr(value) !== undefined
}
