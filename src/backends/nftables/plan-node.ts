/** What concerns the node as a whole: NodePort addresses, localhost, Service networks. */
import type { NodeForwarding } from '../../forwarding/forwarding.ts'
import { type Ip, ipBytes } from '../../net/ip.ts'
import { type NftObject, type Rule, aChain, anElement } from '../../netfilter/nftables/ruleset.ts'
import type { BackendOptions } from '../backend.ts'
import * as names from './names.ts'
import { HOOKS, noEndpointRules, stateRules } from './plan-layout.ts'
import { cidrText, withoutNested } from './plan-port.ts'
import { type Words, frontendOf } from './plan-words.ts'

/** A kernel setting that is switched on and never off again. */
export interface Sysctl {
  readonly kind: 'sysctl'
  /** Path below `/proc/sys`. */
  readonly key: string
  readonly text: string
}

/** Packets to 127.0.0.0/8 may be translated to an address elsewhere: NodePorts on localhost need that. */
export const ROUTE_LOCALNET: Sysctl = { kind: 'sysctl', key: 'net/ipv4/conf/all/route_localnet', text: '1' }

export type BackendObject = NftObject | Sysctl

/** NodePorts on 127.0.0.0/8; the kernel has no such thing for `::1`. */
export function servesLocalhost(node: NodeForwarding, words: Words): boolean {
  return node.localhostNodePorts && words.family === 'IPv4'
}

export function nodeObjects(
  node: NodeForwarding,
  words: Words,
  options: BackendOptions,
): readonly BackendObject[] {
  const localhost = servesLocalhost(node, words)
  return [
    aChain('services', serviceRules(node, words)),
    aChain('firewall-check', firewallRules(node, words)),
    aChain(
      'filter-input',
      [...(localhost ? [MARTIAN_GUARD] : []), ...stateRules(options, 'nodeport-endpoints-check')],
      HOOKS['filter-input'],
    ),
    aChain('nodeport-endpoints-check', [
      { text: 'ct status dnat goto translated', note: 'Has an endpoint' },
      ...nodePortRules(node, words, `vmap @${names.CONTAINERS['node-port'].noEndpoints}`),
      ...noEndpointRules(words),
    ]),
    ...nodePortAddresses(node, words).map((ip) => anElement(names.NODE_PORT_IPS, ip)),
    ...withoutNested(node.serviceCidrs).map((cidr) => anElement(names.SERVICE_CIDRS, cidrText(cidr))),
    ...(localhost ? [ROUTE_LOCALNET] : []),
  ]
}

/** With route_localnet a neighbour could reach what listens on 127.0.0.1 (CVE-2020-8558). */
const MARTIAN_GUARD: Rule = {
  text: 'ip daddr 127.0.0.0/8 ip saddr != 127.0.0.0/8 ct state != { established, related } ct status and dnat == 0 drop',
  note: 'Not from this host',
}

function serviceRules(node: NodeForwarding, words: Words): readonly Rule[] {
  const { address, range } = names.CONTAINERS
  return [
    { text: `${frontendOf(words, 'address')} vmap @${address.services}`, note: 'Address and port' },
    { text: `${frontendOf(words, 'range')} vmap @${range.services}`, note: 'Address and port range' },
    ...nodePortRules(node, words, `vmap @${names.CONTAINERS['node-port'].services}`),
  ]
}

function firewallRules(node: NodeForwarding, words: Words): readonly Rule[] {
  const byAddress = (['address', 'range'] as const).map((space) => {
    const { firewalled, sources } = names.CONTAINERS[space]
    const key = frontendOf(words, space)
    return {
      text: `${key} @${firewalled} ${key} . ${words.ip} saddr != @${sources} drop`,
      note: 'Not from an allowed source',
    }
  })
  const { firewalled, sources } = names.CONTAINERS['node-port']
  const key = frontendOf(words, 'node-port')
  const refusal = `@${firewalled} ${key} . ${words.ip} saddr != @${sources} drop`
  return [...byAddress, ...nodePortRules(node, words, refusal)]
}

/**
 * `<address test> meta l4proto . th dport <rest>`. The set of NodePorts is asked first, because a route look-up costs
 * more than everything else that a new connection to somewhere else has to pass.
 */
function nodePortRules(node: NodeForwarding, words: Words, rest: string): readonly Rule[] {
  const { ip, loopback } = words
  const key = frontendOf(words, 'node-port')
  const known = `${key} @${names.NODE_PORTS}`
  const match =
    node.nodePorts.scope === 'all'
      ? `${ip} daddr != ${loopback} fib daddr type local`
      : `${ip} daddr @${names.NODE_PORT_IPS}`
  const rules = [{ text: `${known} ${match} ${key} ${rest}`, note: 'NodePort' }]
  if (!servesLocalhost(node, words)) return rules
  const localhost = `${known} ip daddr ${loopback} ip saddr ${loopback}`
  return [...rules, { text: `${localhost} ${key} ${rest}`, note: 'NodePort on localhost' }]
}

/** Loopback addresses have a rule of their own, or none. */
function nodePortAddresses({ nodePorts }: NodeForwarding, { family }: Words): readonly Ip[] {
  if (nodePorts.scope === 'all') return []
  return nodePorts.ips.filter((ip) => (family === 'IPv4' ? ipBytes(ip)[0] !== 127 : ip !== '::1'))
}
