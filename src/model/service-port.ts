import type { Cidr } from '../net/cidr.ts'
import type { Family, Ip } from '../net/ip.ts'
import type { PortRange } from '../net/port-range.ts'
import type { Port, Protocol } from '../net/protocol.ts'

/** `namespace/name:portName/PROTOCOL`; an unnamed port gives `namespace/name:/TCP`. The unit of load balancing. */
export type ServicePortKey = string & { readonly __brand: 'ServicePortKey' }

/** `namespace/name`. */
export type ServiceKey = string & { readonly __brand: 'ServiceKey' }

export type TrafficPolicy = 'Cluster' | 'Local'

/** What becomes of open connections to an endpoint that goes (annotation `fairlead.io/on-endpoint-removal`). */
export type EndpointRemoval =
  | { readonly action: 'default' }
  | { readonly action: 'drain'; readonly seconds: number | undefined }
  | { readonly action: 'reset' }

/** What the annotations `fairlead.io/…` ask of one Service; absent wishes are `undefined`. */
export interface ServiceWishes {
  readonly ipvsScheduler: string | undefined
  readonly algorithm: 'random' | 'source-hash' | 'least-connection' | undefined
  readonly slowStartSeconds: number | undefined
  readonly onEndpointRemoval: EndpointRemoval
  readonly sourceRangesOnNodePort: boolean
  /** Every port of the range is forwarded, and the endpoint sees the port that the client dialled. */
  readonly portRange: PortRange | undefined
  /** Weights of endpoints by their address or by the name of their node; 100 is the usual weight. Empty: all equal. */
  readonly weights: Readonly<Record<string, number>>
}

/** One port of one Service in one IP family, as the API says it; nothing here depends on this node. */
export interface ServicePort {
  readonly key: ServicePortKey
  readonly service: ServiceKey
  /** The Service's UID, for events; empty when the API gave none. */
  readonly uid: string
  /** `metadata.creationTimestamp` in milliseconds since the epoch; the older Service wins a conflict. */
  readonly createdMs: number
  readonly family: Family
  readonly protocol: Protocol
  readonly clusterIp: Ip
  readonly port: Port
  readonly nodePort: Port | undefined
  readonly externalIps: readonly Ip[]
  /** `status.loadBalancer.ingress` addresses with `ipMode` VIP or none. */
  readonly loadBalancerIps: readonly Ip[]
  /** Never empty: a list that allows everything (or none of this family) is `undefined`. */
  readonly sourceRanges: readonly Cidr[] | undefined
  readonly internalTrafficPolicy: TrafficPolicy
  /** `Cluster` where the Service type makes the field meaningless (kube-proxy 1.36). */
  readonly externalTrafficPolicy: TrafficPolicy
  readonly healthCheckNodePort: Port | undefined
  /** Timeout in seconds of `sessionAffinity: ClientIP`; `undefined` without affinity. */
  readonly affinitySeconds: number | undefined
  readonly wishes: ServiceWishes
}
