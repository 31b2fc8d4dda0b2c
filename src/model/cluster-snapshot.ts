import type { ShardedMap } from '../collections/sharded-map.ts'
import type { Cidr } from '../net/cidr.ts'
import type { Family } from '../net/ip.ts'
import type { Endpoint } from './endpoint.ts'
import type { NodeView } from './node-view.ts'
import type { ServicePort, ServicePortKey } from './service-port.ts'

/** Everything we know about one IP family of the cluster. */
export interface FamilySnapshot {
  readonly servicePorts: ShardedMap<ServicePortKey, ServicePort>
  /** Sorted by `ip:port` text; a service port without endpoints has no entry. Entries without a Service may exist. */
  readonly endpoints: ShardedMap<ServicePortKey, readonly Endpoint[]>
  /** Networks of all ServiceCIDR objects, sorted. */
  readonly serviceCidrs: readonly Cidr[]
}

/** Everything we know about the cluster at one instant. Unchanged parts are shared with the previous snapshot. */
export interface ClusterSnapshot {
  /** Grows by one with every snapshot that differs from the one before. */
  readonly revision: number
  readonly families: Readonly<Record<Family, FamilySnapshot>>
  readonly node: NodeView
}
