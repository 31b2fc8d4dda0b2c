/** ipset nouns: sets and their elements. */
import type { Family } from '../../net/ip.ts'
import type { Port, Protocol } from '../../net/protocol.ts'

export type SetType = 'hash:ip' | 'hash:ip,port' | 'hash:ip,port,ip' | 'hash:ip,port,net' | 'bitmap:port'

export interface IpSet {
  readonly kind: 'set'
  readonly key: string
  /** Type and those options that make two sets different: `hash:ip,port family inet maxelem 1048576`. */
  readonly text: string
  readonly name: string
}

export interface SetElement {
  readonly kind: 'element'
  readonly key: string
  /** Extensions: `skbmark 0x60000001`; empty for none. */
  readonly text: string
  readonly set: string
  /** `10.0.0.1,tcp:80`, or `30080`. */
  readonly element: string
}

/** `IPSET_MAXNAMELEN` is 32 bytes with the final zero. */
export const MAX_SET_NAME = 31

/** Enough for every address and port of a large cluster; memory is taken as elements come. */
const MAX_ELEMENTS = 1_048_576

export function ipSet(
  name: string,
  type: SetType,
  options: { readonly family: Family; readonly hasMarks?: boolean },
): IpSet {
  const text =
    type === 'bitmap:port'
      ? 'bitmap:port range 0-65535'
      : `${type} family ${options.family === 'IPv4' ? 'inet' : 'inet6'} maxelem ${MAX_ELEMENTS}`
  return ipSetAs(name, options.hasMarks === true ? `${text} skbinfo` : text)
}

export function ipSetAs(name: string, text: string): IpSet {
  return { kind: 'set', key: `set ${name}`, text, name }
}

export function setElement(set: string, element: string, text = ''): SetElement {
  return { kind: 'element', key: `element ${set} ${element}`, text, set, element }
}

/** `tcp:80`. */
export function portElement(protocol: Protocol, port: Port): string {
  return `${protocol.toLowerCase()}:${port}`
}

/** What an element of a set with marks gives to the packets that it matches. */
export function markText(mark: number): string {
  return `skbmark 0x${(mark >>> 0).toString(16)}`
}

/** The mark in an element's text; `undefined` for none. */
export function markOf(text: string): number | undefined {
  const match = /^skbmark 0x([0-9a-f]+)/.exec(text)
  return match?.[1] === undefined ? undefined : Number.parseInt(match[1], 16)
}
