/** How one IP family says the same things to one version of nft: names of fields and types, and the expressions that several chains use. */
import type { Family } from '../../net/ip.ts'
import type { Protocol } from '../../net/protocol.ts'
import type { Space } from './names.ts'
import type { Dialect } from './plan-dialect.ts'

export interface Words {
  readonly family: Family
  readonly ip: 'ip' | 'ip6'
  readonly address: 'ipv4_addr' | 'ipv6_addr'
  readonly loopback: '127.0.0.0/8' | '::1'
  readonly dialect: Dialect
}

const IPV4 = { family: 'IPv4', ip: 'ip', address: 'ipv4_addr', loopback: '127.0.0.0/8' } as const
const IPV6 = { family: 'IPv6', ip: 'ip6', address: 'ipv6_addr', loopback: '::1' } as const

export function wordsOf(family: Family, dialect: Dialect): Words {
  return { ...(family === 'IPv4' ? IPV4 : IPV6), dialect }
}

/** What a packet that is not translated yet is looked up by. */
export function frontendOf({ ip }: Words, space: Space): string {
  return space === 'node-port' ? 'meta l4proto . th dport' : `${ip} daddr . meta l4proto . th dport`
}

/** The type of that, in declarations. */
export function frontendKeyType({ address }: Words, space: Space): string {
  return space === 'node-port' ? 'inet_proto . inet_service' : `${address} . inet_proto . inet_service`
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

/** Client and service port, while the packet's priority is the number of the latter (see `plan-affinity.ts`). */
export function affinityKeyOf({ family }: Words): string {
  return family === 'IPv4' ? 'ip saddr . meta priority' : 'meta priority'
}
