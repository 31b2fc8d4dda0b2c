/**
 * Reads `/proc/net/ip_vs`, which prints addresses as hexadecimal digits. Of a virtual server's real servers only a sum is
 * kept: two lists have the same sum iff they hold the same servers with the same weights, whatever their order (as far
 * as a 32-bit sum can tell). Real servers with weight 0 are not part of it: they drain.
 */
import { type Family, type Ip, familyOf, ipBytes, parseIp } from '../../net/ip.ts'
import type { Protocol } from '../../net/protocol.ts'
import { type RealServer, type VirtualServer, addressSelector, markSelector } from './virtual-server.ts'

export interface TableRow {
  /** `undefined` for a mark without real servers: the table does not tell its family. */
  readonly selector: string | undefined
  /** As `choiceText`. */
  readonly choice: string
  readonly servers: ServerSum
}

export type ServerSum = number

const PROTOCOLS: ReadonlySet<string> = new Set<Protocol>(['TCP', 'UDP', 'SCTP'])

const SERVER_PREFIX = '  -> '

interface Draft {
  readonly head: string
  sum: number
  family: Family | undefined
}

/** Virtual servers of one family; a line that is not understood is left out. */
export function* readServerTable(text: string, family: Family): Generator<TableRow> {
  let draft: Draft | undefined
  for (const line of text.split('\n')) {
    if (line.startsWith(SERVER_PREFIX)) addServer(draft, line)
    else {
      const row = finish(draft, family)
      if (row !== undefined) yield row
      draft = { head: line, sum: 0, family: undefined }
    }
  }
  const last = finish(draft, family)
  if (last !== undefined) yield last
}

/**
 * What the table tells of a virtual server's options: `rr`, or `rr persistent`. It prints the time in ticks of the
 * kernel's clock, whose length nobody knows.
 */
export function choiceText({ text }: VirtualServer): string {
  const scheduler = /-s (\S+)/.exec(text)?.[1] ?? ''
  return / -p \d/.test(text) ? `${scheduler} persistent` : scheduler
}

/** What one real server contributes to the sum; 0 for one that drains. */
export function sumOf({ server, text }: RealServer): ServerSum {
  const match = /^\[?([^\]]+)\]?:(\d+)$/.exec(server)
  const ip = match?.[1] === undefined ? undefined : parseIp(match[1])
  const weight = /^-m -w (\d+)$/.exec(text)?.[1]
  if (ip === undefined || weight === '0') return 0
  return hashOf(`${hexPlace(ip, Number(match?.[2]))} ${weight === undefined ? text : `Masq ${weight}`}`)
}

function addServer(draft: Draft | undefined, line: string): void {
  const [place = '', method = '', weight = ''] = line.slice(SERVER_PREFIX.length).split(/ +/, 3)
  if (draft === undefined || place === '') return
  draft.family ??= place.startsWith('[') ? 'IPv6' : 'IPv4'
  if (weight !== '0') draft.sum = (draft.sum + hashOf(`${place} ${method} ${weight}`)) >>> 0
}

/** `TCP  AC1E0001:0050 rr persistent 10800 FFFFFFFF`, `FWM  60000001 rr`. */
function finish(draft: Draft | undefined, family: Family): TableRow | undefined {
  if (draft === undefined) return undefined
  const [protocol = '', place = '', scheduler = '', ...rest] = draft.head.trim().split(/ +/)
  const choice = rest.includes('persistent') ? `${scheduler} persistent` : scheduler
  const row = { choice, servers: draft.sum }
  if (protocol !== 'FWM') {
    const selector = readSelectorOf(protocol, place, family)
    return selector === undefined ? undefined : { selector, ...row }
  }
  if (draft.family === undefined) return { selector: undefined, ...row }
  return draft.family === family
    ? { selector: markSelector(Number.parseInt(place, 16), family), ...row }
    : undefined
}

function readSelectorOf(protocol: string, place: string, family: Family): string | undefined {
  const where = PROTOCOLS.has(protocol) ? readPlace(place) : undefined
  if (where === undefined || familyOf(where.ip) !== family) return undefined
  return addressSelector(protocol as Protocol, where.ip, where.port)
}

/** `AC1E0001:0050` or `[fd00:0000:0000:0000:0000:0000:0000:0001]:0050`. */
function readPlace(text: string): { readonly ip: Ip; readonly port: number } | undefined {
  const match = /^(?:\[(.+)\]|([0-9A-F]{8})):([0-9A-F]{4})$/.exec(text)
  if (match === null) return undefined
  const [, ipv6, hex = '', port = ''] = match
  const dotted = [0, 2, 4, 6].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)).join('.')
  const ip = parseIp(ipv6 ?? dotted)
  return ip && { ip, port: Number.parseInt(port, 16) }
}

function hexPlace(ip: Ip, port: number): string {
  const hexOf = (value: number, digits: number) => value.toString(16).padStart(digits, '0')
  const bytes = ipBytes(ip).map((byte) => hexOf(byte, 2))
  const tail = hexOf(port, 4).toUpperCase()
  if (bytes.length === 4) return `${bytes.join('').toUpperCase()}:${tail}`
  const groups = [0, 2, 4, 6, 8, 10, 12, 14].map((at) => `${bytes[at]}${bytes[at + 1]}`)
  return `[${groups.join(':')}]:${tail}`
}

/** FNV-1a with a final mix, so that sums of similar lines do not meet. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return (hash ^ (hash >>> 13)) >>> 0
}
