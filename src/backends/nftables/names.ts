/**
 * Every name this mode puts into the kernel.
 *
 * Table, base chains, `services`, `reject-chain` and the sets and maps that mean the same carry kube-proxy's names,
 * because other software looks for them. A set of another type must have another name: the kernel would refuse
 * kube-proxy's, and a kube-proxy that comes back could not take the table over. Everything in the two tables
 * `ip kube-proxy` and `ip6 kube-proxy` is ours; nothing outside of them is. Names come from numbers and fixed words
 * only, never from an API object.
 */
import type { Family } from '../../net/ip.ts'
import type { Protocol } from '../../net/protocol.ts'
import type { TableName } from '../../netfilter/nftables/render-script.ts'

export function tableName(family: Family): TableName {
  return { family: family === 'IPv4' ? 'ip' : 'ip6', name: 'kube-proxy' }
}

/** An empty chain says which layout the table has; whatever differs from it is replaced as a whole. */
export const LAYOUT_PREFIX = 'fairlead-layout-'

/** The number of a protocol: nft needs `/etc/protocols` for names, and small images do not have it. */
export const PROTOCOL_NUMBER: Readonly<Record<Protocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 }

/**
 * How a frontend is recognised decides in which containers its elements are: by address and port, by port alone
 * (NodePorts), or by address and an interval of ports.
 */
export type Space = 'address' | 'node-port' | 'range'

interface SpaceContainers {
  readonly services: string
  readonly noEndpoints: string
  readonly firewalled: string
  readonly sources: string
  readonly affinity: string
  readonly affinityNumbers: string
  readonly affinityEndpoints: string
}

export const CONTAINERS: Readonly<Record<Space, SpaceContainers>> = {
  address: {
    services: 'service-ips',
    noEndpoints: 'no-endpoint-services',
    firewalled: 'firewalled-ips',
    sources: 'source-ranges',
    affinity: 'affinity-services',
    affinityNumbers: 'affinity-numbers',
    affinityEndpoints: 'affinity-endpoints',
  },
  'node-port': {
    services: 'service-nodeports',
    noEndpoints: 'no-endpoint-nodeports',
    firewalled: 'firewall-nodeports',
    sources: 'nodeport-source-ranges',
    affinity: 'affinity-nodeports',
    affinityNumbers: 'nodeport-affinity-numbers',
    affinityEndpoints: 'nodeport-affinity-endpoints',
  },
  range: {
    services: 'service-ranges',
    noEndpoints: 'no-endpoint-ranges',
    firewalled: 'firewall-ranges',
    sources: 'range-source-ranges',
    affinity: 'affinity-ranges',
    affinityNumbers: 'range-affinity-numbers',
    affinityEndpoints: 'range-affinity-endpoints',
  },
}

/**
 * The map from frontend and slot to endpoint. There is one per protocol, because nft cannot read back the type of a map
 * to ports of "any protocol" (1.0.6 says `conflicting protocols specified: ip vs. th`). A range keeps the port, so one
 * map serves all protocols.
 */
export function endpointsIn(space: Space, protocol: Protocol): string {
  return space === 'range' ? 'range-endpoints' : inSpace(space, `endpoints-${protocol.toLowerCase()}`)
}

/** Where those maps hold addresses alone, the ports are in maps beside them. */
export function endpointPortsIn(space: Exclude<Space, 'range'>, protocol: Protocol): string {
  return inSpace(space, `endpoint-ports-${protocol.toLowerCase()}`)
}

export const SPACES: readonly Space[] = ['address', 'node-port', 'range']

export const CLUSTER_IPS = 'cluster-ips'
export const EXTERNAL_IPS = 'external-ips'
export const NODE_PORTS = 'nodeports'
export const NODE_PORT_IPS = 'nodeport-ips'
export const HAIRPIN = 'hairpin-endpoints'
export const SERVICE_CIDRS = 'service-cidrs'
/** Filled by packets: which endpoint a client of a service port with session affinity is held to. */
export const AFFINITY = 'affinity'
/** Filled by packets, where the map itself cannot say for how long: the clients that are held now. */
export const HELD_CLIENTS = 'affinity-held'
/** Filled by packets: the endpoints that connections were translated to. */
export const TRANSLATED = 'translated-endpoints'

/** Filled by packets, so they are neither read back nor written. */
export const FILLED_BY_PACKETS: ReadonlySet<string> = new Set([AFFINITY, HELD_CLIENTS, TRANSLATED])

export const REJECT_CHAIN = 'reject-chain'

/** Chains of the other spaces have the space in front: `nodeport-pick-c5`. */
export function inSpace(space: Space, name: string): string {
  if (space === 'address') return name
  return space === 'range' ? `range-${name}` : `nodeport-${name}`
}
