/**
 * Which addresses of the node answer on NodePorts (docs/forwarding.md §4). Computed from the addresses that the node
 * has now, so a new address is followed without a restart.
 */
import type { NodeView } from '../model/node-view.ts'
import { type Cidr, cidrContains, cidrFamily, networkAddress, networkOf, prefixLength } from '../net/cidr.ts'
import { type Family, familyOf, type Ip } from '../net/ip.ts'
import type { NodePortAddresses } from './forwarding.ts'

/** `primary`: only the Node's own address. A list without any network of a family means all of that family. */
export type NodePortAddressesSpec = 'all' | 'primary' | readonly Cidr[]

export interface NodePortScope {
  readonly nodePorts: NodePortAddresses
  readonly localhostNodePorts: boolean
}

const LOOPBACK: Readonly<Record<Family, Cidr>> = { IPv4: '127.0.0.0/8' as Cidr, IPv6: '::1/128' as Cidr }

export function isLoopback(ip: Ip): boolean {
  return cidrContains(LOOPBACK[familyOf(ip)], ip)
}

export function nodePortScope(
  spec: NodePortAddressesSpec,
  node: Pick<NodeView, 'localIps' | 'primaryIps'>,
  options: { readonly family: Family; readonly localhostNodePorts: boolean },
): NodePortScope {
  const { family } = options
  const localhostWanted = options.localhostNodePorts && family === 'IPv4'
  if (spec === 'primary') {
    const primary = node.primaryIps[family]
    // No known address is no address: opening every NodePort everywhere instead would surprise.
    const ips = primary === undefined || isLoopback(primary) ? [] : [primary]
    return { nodePorts: { scope: 'listed', ips }, localhostNodePorts: false }
  }
  const cidrs = spec === 'all' ? [] : spec.filter((cidr) => cidrFamily(cidr) === family)
  if (cidrs.length === 0 || cidrs.some((cidr) => prefixLength(cidr) === 0))
    return { nodePorts: { scope: 'all' }, localhostNodePorts: localhostWanted }
  const ips = node.localIps.filter(
    (ip) => familyOf(ip) === family && !isLoopback(ip) && cidrs.some((cidr) => cidrContains(cidr, ip)),
  )
  return {
    nodePorts: { scope: 'listed', ips },
    localhostNodePorts: localhostWanted && cidrs.some(coversLoopback),
  }
}

/** Inside 127.0.0.0/8, or around all of it. */
function coversLoopback(cidr: Cidr): boolean {
  const { IPv4: loopback } = LOOPBACK
  const isInside = prefixLength(cidr) >= 8 && networkOf(networkAddress(cidr), 8) === loopback
  return isInside || cidrContains(cidr, networkAddress(loopback))
}
