/** Destinations as digits, for the dispatch trees, and back into words and matches. */
import { type Family, type Ip, ipBytes, ipFromBytes } from '../../net/ip.ts'
import { type Port, PROTOCOLS, type Protocol } from '../../net/protocol.ts'
import { matchDestination, matchPort, rule } from '../../netfilter/iptables/rule.ts'

const PROTOCOL_DIGITS: Readonly<Record<Protocol, string>> = { TCP: 't', UDP: 'u', SCTP: 's' }
const PORT_DIGITS = 4

/** A destination, or many that share their first digits. */
export interface Place {
  /** For chain names and people: `172.30.16.0-20`, `tcp-30720-30975`. */
  readonly words: string
  /** The matches that all its packets fulfil. */
  readonly match: string
}

/** How many digits of a path are the address. */
export function addressDigits(family: Family): number {
  return family === 'IPv4' ? 8 : 32
}

/** `ip`: `undefined` in trees of node ports. A range of ports has the digits that all its ports share. */
export function pathOf(
  ip: Ip | undefined,
  protocol: Protocol,
  ports: { readonly first: Port; readonly last: Port },
): string {
  const [a, b] = [hexPort(ports.first), hexPort(ports.last)]
  let shared = 0
  while (shared < PORT_DIGITS && a.charAt(shared) === b.charAt(shared)) shared++
  return (ip === undefined ? '' : hexOf(ip)) + PROTOCOL_DIGITS[protocol] + a.slice(0, shared)
}

/** `digits`: how many digits of the path are the address; 0 in trees of node ports. */
export function placeOf(path: string, digits: number): Place {
  const address = path.slice(0, digits)
  const rest = path.slice(digits)
  const protocol = PROTOCOLS.find((name) => PROTOCOL_DIGITS[name] === rest.charAt(0))
  const words: string[] = []
  const matches: string[] = []
  if (address !== '') {
    const bits = address.length * 4
    const ip = ipFromBytes((address.padEnd(digits, '0').match(/../g) ?? []).map((hex) => parseInt(hex, 16)))
    // nft would not read a chain name with colons back.
    words.push(ip.replaceAll(':', '.'), String(bits))
    matches.push(matchDestination(ip, bits))
  }
  if (protocol !== undefined) {
    const first = parseInt(rest.slice(1).padEnd(PORT_DIGITS, '0'), 16)
    const last = parseInt(rest.slice(1).padEnd(PORT_DIGITS, 'f'), 16)
    words.push(protocol.toLowerCase(), String(first), String(last))
    matches.push(matchPort(protocol, first, last))
  }
  return { words: words.join('-'), match: rule(...matches) }
}

function hexOf(ip: Ip): string {
  return ipBytes(ip)
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')
}

/** Sortable. */
export function hexPort(port: Port): string {
  return port.toString(16).padStart(PORT_DIGITS, '0')
}
