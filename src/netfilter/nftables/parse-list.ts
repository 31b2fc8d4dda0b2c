/**
 * Reads what `nft -n list table` prints, of all versions from 1.0.1 on.
 *
 * ```
 * table ip kube-proxy {
 *   map service-ips {
 *     type ipv4_addr . inet_proto . inet_service : verdict
 *     elements = { 10.0.0.1 . 6 . 80 : goto pick-c5,
 *                  10.0.0.2 . 6 . 80 : drop }
 *   }
 *   chain nat-output {
 *     type nat hook output priority -100; policy accept;
 *     jump services comment "Services #6b1f7a52"
 *   }
 * }
 * ```
 *
 * Of a chain only its hook and the comments of its rules are read; a rule without a comment of ours is read as
 * "foreign" and so never equals one that we want.
 */
import { forEachSliced, type Sliced } from '../../collections/sliced.ts'
import { parseIp } from '../../net/ip.ts'
import { type ChainObject, type ElementObject, anElement, anObservedChain } from './ruleset.ts'

export interface ListedContainer {
  readonly kind: 'map' | 'set'
  readonly name: string
  readonly elements: readonly ElementObject[]
}

export interface ListedTable {
  readonly containers: readonly ListedContainer[]
  readonly chains: readonly ChainObject[]
}

const BLOCK = /^\s*(map|set|chain) (\S+) \{$/
const FOREIGN = 'a rule of somebody else'

/** `opaque`: sets whose elements are not read, because packets fill them. */
export function* parseList(text: string, opaque: ReadonlySet<string> = new Set()): Sliced<ListedTable> {
  const containers: ListedContainer[] = []
  const chains: ChainObject[] = []
  let at = 0
  while (at < text.length) {
    const line = lineAt(text, at)
    const next = at + line.length + 1
    const [, kind, name = ''] = BLOCK.exec(line) ?? []
    if (kind === undefined) {
      at = next
      continue
    }
    // A block ends with the closing brace of its own indentation; braces inside are never alone at that depth.
    const end = text.indexOf(`\n${line.slice(0, line.search(/\S/))}}`, at)
    const body = text.slice(next, end < 0 ? text.length : end)
    if (kind === 'chain') chains.push(parseChain(name, body))
    else {
      const elements = opaque.has(name) ? [] : yield* parseElements(name, body)
      containers.push({ kind: kind === 'map' ? 'map' : 'set', name, elements })
    }
    at = end < 0 ? text.length : end + 1
  }
  return { containers, chains }
}

function lineAt(text: string, at: number): string {
  const end = text.indexOf('\n', at)
  return text.slice(at, end < 0 ? text.length : end)
}

function parseChain(name: string, body: string): ChainObject {
  let hook: string | undefined
  const comments: string[] = []
  for (const line of body.split('\n')) {
    const rule = line.trim()
    const base = /^type (\w+) hook (\w+) /.exec(rule)
    if (base !== null) hook = `${base[1] ?? ''} ${base[2] ?? ''}`
    else if (rule !== '') comments.push(/ comment "([^"]*)"$/.exec(rule)?.[1] ?? FOREIGN)
  }
  return anObservedChain(name, hook, comments)
}

function* parseElements(container: string, body: string): Sliced<readonly ElementObject[]> {
  const start = body.indexOf('elements = {')
  if (start < 0) return []
  const inner = body.slice(start + 'elements = {'.length, body.lastIndexOf('}'))
  const elements: ElementObject[] = []
  yield* forEachSliced(inner.split(','), (text) => elements.push(parseElement(container, text.trim())))
  return elements
}

function parseElement(container: string, text: string): ElementObject {
  const colon = text.indexOf(' : ')
  return colon < 0
    ? anElement(container, canonical(text))
    : anElement(container, canonical(text.slice(0, colon)), canonical(text.slice(colon + 3)))
}

/** Numbers as numbers; IPv6 addresses with an embedded IPv4 address, which have two spellings, as we spell them. */
function canonical(text: string): string {
  const last = text.lastIndexOf(' ') + 1
  const number = handleNumber(text.slice(last))
  return number === undefined
    ? canonicalAddresses(text)
    : `${canonicalAddresses(text.slice(0, last))}${number}`
}

/** A number of 32 bits that nft prints as a handle of traffic control: `0:8001`; 0 is `none`. */
function handleNumber(text: string): number | undefined {
  if (text === 'none') return 0
  if (text === 'root') return 0xffffffff
  const colon = text.indexOf(':')
  if (colon < 0 || !/^[0-9a-f]{1,4}:[0-9a-f]{1,4}$/.test(text)) return undefined
  return parseInt(text.slice(0, colon), 16) * 0x10000 + parseInt(text.slice(colon + 1), 16)
}

function canonicalAddresses(text: string): string {
  if (!text.includes('::') || !text.includes('.')) return text
  return text
    .split(' . ')
    .map((part) => (part.includes('.') ? (parseIpWithLength(part) ?? part) : part))
    .join(' . ')
}

function parseIpWithLength(part: string): string | undefined {
  const [address = '', length] = part.split('/')
  const ip = parseIp(address)
  return length === undefined || ip === undefined ? ip : `${ip}/${length}`
}
