/**
 * The decision: what this node does with packets for every service port of one IP family.
 *
 * Backends receive this and nothing else. They translate it into kernel objects; they never look at a Service again,
 * so a semantic question has one place to be answered (docs/forwarding.md).
 */
import type { ShardedMap } from '../collections/sharded-map.ts'
import type { EndpointRemoval, ServiceKey, ServicePortKey, ServiceWishes } from '../model/service-port.ts'
import type { Cidr } from '../net/cidr.ts'
import type { Family, Ip } from '../net/ip.ts'
import type { Port, Protocol } from '../net/protocol.ts'

/**
 * Who sent a packet: recognised in this order. *pod*: the local-traffic detector matches; *node*: the source address
 * is one of this node's; *external*: everything else. Without a detector nobody is a pod.
 */
export type Origin = 'pod' | 'node' | 'external'
export const ORIGINS: readonly Origin[] = ['pod', 'node', 'external']

export type PoolName = 'cluster' | 'local'

/** What happens to a new connection. `masquerade`: its source becomes the address of the interface it leaves by. */
export type Route =
  | { readonly action: 'forward'; readonly pool: PoolName; readonly masquerade: boolean }
  | { readonly action: 'reject' }
  | { readonly action: 'drop' }

export type FrontendKind = 'ClusterIP' | 'ExternalIP' | 'LoadBalancerIP' | 'NodePort'

/** One address that packets arrive at, and the answer for each kind of sender. */
export interface Frontend {
  readonly kind: FrontendKind
  /** `undefined` only for NodePort: any address of `NodeForwarding.nodePorts`. */
  readonly ip: Ip | undefined
  readonly port: Port
  /** Set for a port range: the last port of it; `port` is the first, and the endpoint sees the port dialled. */
  readonly lastPort: Port | undefined
  /**
   * Who may connect, tested before the route and before DNAT; everybody else is dropped, with or without endpoints.
   * `undefined`: everybody. Where a range covers the node, the list already holds the frontend's own address.
   */
  readonly sourceRanges: readonly Cidr[] | undefined
  readonly routes: Readonly<Record<Origin, Route>>
}

/** A usable endpoint. */
export interface Target {
  readonly ip: Ip
  readonly port: Port
  /** It runs on this node, so it can meet itself: its connections to itself are masqueraded (hairpin). */
  readonly local: boolean
  /** Integer ≥ 1, relative to the other targets of the pool. All equal: choose uniformly. */
  readonly weight: number
}

export interface PortForwarding {
  readonly key: ServicePortKey
  readonly service: ServiceKey
  readonly family: Family
  readonly protocol: Protocol
  /** No two frontends of one `Forwarding` match the same packet: conflicts are resolved before. */
  readonly frontends: readonly Frontend[]
  /** Sorted by `ip:port` text, without duplicates. */
  readonly pools: Readonly<Record<PoolName, readonly Target[]>>
  readonly affinitySeconds: number | undefined
  readonly algorithm: ServiceWishes['algorithm']
  readonly ipvsScheduler: string | undefined
  readonly onEndpointRemoval: EndpointRemoval
  /** TCP port on which health checks must be let in (INPUT accept); the HTTP server itself is not a backend's work. */
  readonly healthCheckNodePort: Port | undefined
  /**
   * `ip:port` text of every serving endpoint anywhere, ready or not (as kube-proxy 1.36 counts them): a UDP flow whose
   * reply comes from somewhere else is stale. Sorted.
   */
  readonly servingEndpoints: readonly string[]
}

/** Which destination addresses count as NodePort addresses. */
export type NodePortAddresses =
  /** Every local address, `localhost` deciding about loopback. */
  | { readonly scope: 'all' }
  /** Exactly these (already resolved from CIDRs or `primary`; may be empty); sorted. */
  | { readonly scope: 'listed'; readonly ips: readonly Ip[] }

/** What concerns the node as a whole, in one IP family. */
export interface NodeForwarding {
  readonly nodePorts: NodePortAddresses
  /** NodePorts answer on 127.0.0.0/8 (IPv4 only; a backend that cannot says so in its README). */
  readonly localhostNodePorts: boolean
  /** Every address of the node's interfaces in this family, loopback included; sorted. */
  readonly localIps: readonly Ip[]
  /** The Node's own address of this family: preferred source of routes. */
  readonly primaryIp: Ip | undefined
  /** Addresses inside these networks that no Service has are dropped by backends that can. */
  readonly serviceCidrs: readonly Cidr[]
}

export interface Forwarding {
  readonly family: Family
  readonly ports: ShardedMap<ServicePortKey, PortForwarding>
  readonly node: NodeForwarding
}
