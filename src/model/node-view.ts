import type { Cidr } from '../net/cidr.ts'
import type { Family, Ip } from '../net/ip.ts'

/** What we know of the node we run on: partly from its Node object, partly from its interfaces. */
export interface NodeView {
  readonly name: string
  /** The label `topology.kubernetes.io/zone`; empty when absent (an empty zone never matches a hint). */
  readonly zone: string
  /** `status.addresses`: the first InternalIP (else ExternalIP) of each family. */
  readonly primaryIps: Readonly<Partial<Record<Family, Ip>>>
  readonly podCidrs: readonly Cidr[]
  /** All addresses of all interfaces except our own dummy device, loopback included; sorted. */
  readonly localIps: readonly Ip[]
  /** The Node exists, has no deletionTimestamp and no taint ToBeDeletedByClusterAutoscaler (for /healthz). */
  readonly eligible: boolean
}
