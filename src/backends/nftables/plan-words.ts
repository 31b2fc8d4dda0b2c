/** How one IP family says the same things: field and type names, and the expressions that several chains use. */
import type { Family } from '../../net/ip.ts'
import type { Protocol } from '../../net/protocol.ts'
import type { Space } from './names.ts'

export interface Words {
  readonly family: Family
  readonly ip: 'ip' | 'ip6'
  readonly address: 'ipv4_addr' | 'ipv6_addr'
  readonly loopback: '127.0.0.0/8' | '::1'
}

const IPV4: Words = { family: 'IPv4', ip: 'ip', address: 'ipv4_addr', loopback: '127.0.0.0/8' }
const IPV6: Words = { family: 'IPv6', ip: 'ip6', address: 'ipv6_addr', loopback: '::1' }

export function wordsOf(family: Family): Words {
  return family === 'IPv4' ? IPV4 : IPV6
}

/** What a packet that is not translated yet is looked up by. */
export function frontendOf({ ip }: Words, space: Space): string {
  return space === 'node-port' ? 'meta l4proto . th dport' : `${ip} daddr . meta l4proto . th dport`
}

/** What the map of endpoints is looked up by, before the slot. */
export function endpointKeyOf({ ip }: Words, space: Space, protocol: Protocol): string {
  if (space === 'range') return `${ip} daddr . meta l4proto . th dport`
  const port = `${protocol.toLowerCase()} dport`
  return space === 'node-port' ? port : `${ip} daddr . ${port}`
}

/** The same, while the destination address serves as a register (see `affinityRules`). */
export function rememberedFrontendOf({ ip }: Words, space: Space): string {
  return space === 'node-port'
    ? 'meta l4proto . th dport'
    : `ct original ${ip} daddr . meta l4proto . th dport`
}

/** The same of a translated packet; the rule must have tested the protocol, or the port has no type. */
export function originalFrontendOf({ ip }: Words, space: Space): string {
  return space === 'node-port'
    ? 'meta l4proto . ct original proto-dst'
    : `ct original ${ip} daddr . meta l4proto . ct original proto-dst`
}

/**
 * Client and frontend as key of the affinity map: `daddr` and `dport` are the expressions that hold the frontend's.
 *
 * For IPv4 the four fields. For IPv6 two hashes stand for the two addresses: nft cannot put more than 16 bytes of key
 * into an `update @map` (version 1.0.6 stops with a failed assertion). A collision of 64 bits in one protocol and port
 * would only hold a client to an endpoint that another client chose.
 */
export function affinityKey(words: Words, daddr: string, dport: string): string {
  if (words.family === 'IPv4') return `ip saddr . ${daddr} . meta l4proto . ${dport}`
  const hash = (seed: number): string => `jhash ip6 saddr . ${daddr} mod 4294967295 seed 0x${seed}`
  return `${hash(1)} . ${hash(2)} . meta l4proto . ${dport}`
}
