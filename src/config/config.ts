/**
 * Everything the daemon needs to know, complete, validated and immutable.
 *
 * Whatever the operator wrote (flags, a file of either version, nothing), the rest of the program sees only this. The
 * names are ours; which flag and which field of kube-proxy's configuration fills what is in `settings.ts`.
 */
import type { BackendName } from '../backends/backend.ts'
import type { Cidr } from '../net/cidr.ts'
import type { Ip } from '../net/ip.ts'
import type { PortRange } from '../net/port-range.ts'
import type { Port } from '../net/protocol.ts'

/** Where a server listens. `0.0.0.0` and `::` mean every address of that family. */
export interface ListenAddress {
  readonly ip: Ip
  readonly port: Port
}

export interface ClientConnectionConfig {
  /** Path of a kubeconfig file; `undefined`: the credentials of the pod we run in. */
  readonly kubeconfig: string | undefined
  /** URLs tried in turn; they replace the server that the credentials name. Empty: use that one. */
  readonly apiServers: readonly string[]
  /** Requests per second that we send besides watching, i.e. events; bursts of `burst` are let through. */
  readonly qps: number
  readonly burst: number
}

export interface SyncConfig {
  /** Longest pause between the end of one run and the start of the next. */
  readonly minSyncPeriodMs: number
  /** A failed run is tried again after at most this long; twice this long without success is unhealthy. */
  readonly syncPeriodMs: number
}

export type DetectLocalMode = 'ClusterCIDR' | 'NodeCIDR' | 'BridgeInterface' | 'InterfaceNamePrefix'

/** How pods of this node (or of the cluster, with `ClusterCIDR`) are recognised; only the mode's own field counts. */
export interface DetectLocalConfig {
  readonly mode: DetectLocalMode
  /** At most one per family; empty: nobody is recognised as a pod. */
  readonly clusterCidrs: readonly Cidr[]
  readonly bridgeInterface: string
  readonly interfaceNamePrefixes: readonly string[]
}

/** Which addresses of the node answer on NodePorts: any, the Node object's own, or those inside the networks. */
export type NodePortAddressesConfig = 'all' | 'primary' | readonly Cidr[]

/** Limits of connection tracking; 0 leaves a value as it is. They are only ever raised. */
export interface ConntrackConfig {
  readonly maxPerCore: number
  readonly min: number
  readonly tcpEstablishedTimeoutMs: number
  readonly tcpCloseWaitTimeoutMs: number
  readonly tcpBeLiberal: boolean
  readonly udpTimeoutMs: number
  readonly udpStreamTimeoutMs: number
}

export interface IpvsConfig {
  readonly scheduler: string
  /** Virtual servers inside these networks belong to somebody else. */
  readonly excludeCidrs: readonly Cidr[]
  readonly strictArp: boolean
  /** 0 leaves the kernel's timeout. */
  readonly tcpTimeoutMs: number
  readonly tcpFinTimeoutMs: number
  readonly udpTimeoutMs: number
  /** How long a removed endpoint keeps its open connections. */
  readonly drainTimeoutMs: number
}

export interface LoggingConfig {
  readonly format: 'text' | 'json'
  /** klog's scale: 0 states changes, 4 every sync, 6 and more everything. */
  readonly verbosity: number
}

export interface Config {
  readonly mode: BackendName
  readonly clientConnection: ClientConnectionConfig
  /** Lower case; `undefined`: the name that the operating system has for this host. */
  readonly hostnameOverride: string | undefined
  /** Addresses that replace those of the Node object, at most one per family; the first decides the primary family. */
  readonly nodeIpOverride: readonly Ip[]
  readonly ipFamilyPolicy: 'SingleStack' | 'PreferDualStack' | 'RequireDualStack'
  /** `undefined`: no such server. */
  readonly healthzBindAddress: ListenAddress | undefined
  readonly metricsBindAddress: ListenAddress | undefined
  /** Not being able to listen there ends the process instead of being tried again. */
  readonly bindAddressHardFail: boolean
  /** Settings that cannot work on this node end the process instead of being told. */
  readonly configHardFail: boolean
  readonly enableProfiling: boolean
  /** Number of the bit in the packet mark that asks for masquerading. */
  readonly masqueradeBit: number
  readonly masqueradeAll: boolean
  readonly localhostNodePorts: boolean
  readonly sync: SyncConfig
  readonly detectLocal: DetectLocalConfig
  readonly nodePortAddresses: NodePortAddressesConfig
  /** The API server's range of NodePorts; `undefined`: nothing is kept free of masqueraded connections. */
  readonly nodePortRange: PortRange | undefined
  readonly conntrack: ConntrackConfig
  readonly ipvs: IpvsConfig
  readonly iptablesVariant: 'auto' | 'legacy' | 'nft'
  readonly oomScoreAdj: number
  /** All gates that we know, with the operator's choices applied. */
  readonly featureGates: Readonly<Record<string, boolean>>
  /** `spec.externalIPs` are programmed at all (gate AllowServiceExternalIPs). */
  readonly allowExternalIps: boolean
  /** Networks that `spec.externalIPs` must be in; `undefined`: no limit. */
  readonly externalIpCidrs: readonly Cidr[] | undefined
  /** Directory for the last programmed cluster state; `undefined`: none is kept. */
  readonly stateDir: string | undefined
  /** Path of the unix socket that `explain`, `dump` and `diff` talk to; `undefined`: no such socket. */
  readonly explainSocket: string | undefined
  readonly logging: LoggingConfig
  /** The file that all this was read from; `undefined`: flags alone. */
  readonly configFile: string | undefined
}
