/**
 * The one form of a packet-flow case, whoever judges it: the oracle (`route-packet.ts`) or a real kernel.
 *
 * A case is a node, the API objects, and packets with the outcome they must have. Objects are written as the API
 * server would deliver them; a case with several steps keeps the proxy running from step to step.
 */
import type { BackendName } from '../../src/backends/backend.ts'
import type { Family } from '../../src/net/ip.ts'
import type { Protocol } from '../../src/net/protocol.ts'

/** Any API object, as JSON. */
export type ApiObject = Readonly<Record<string, unknown>>

/** Where the packet's socket is. */
export type Sender =
  /** A pod on this node. */
  | 'pod'
  /** The very endpoint that the packet may come back to. */
  | 'local-endpoint'
  /** The host itself, with one of its addresses. */
  | 'node'
  /** The host itself, with 127.0.0.1 or ::1. */
  | 'localhost'
  /** The host itself, after `sourceIp` was added to one of its interfaces. */
  | 'node-owning-source-address'
  /** A machine outside the cluster. */
  | 'external'
  /** A pod on another node. */
  | 'remote-endpoint'

export type Outcome =
  /** `endpoints` as `ip:port`, IPv6 in brackets: over enough tries each of them, and no other. */
  | { readonly kind: 'dnat'; readonly endpoints: readonly string[]; readonly masq: boolean }
  /** Active refusal (ICMP port unreachable). */
  | { readonly kind: 'reject' }
  /** Silence. */
  | { readonly kind: 'drop' }
  /** The proxy leaves the packet alone: it arrives unmodified where plain routing sends it. */
  | { readonly kind: 'none' }
  /** A health-check node port: must not be filtered. */
  | { readonly kind: 'accept' }

/**
 * How firm the expectation is. `asserted`: by a test of kube-proxy. `derived`: two modes of kube-proxy agree.
 * `backend-specific`: they differ and `expectBy` holds what each does. `own`: our specification (docs/forwarding.md).
 */
export type Grade = 'asserted' | 'derived' | 'backend-specific' | 'own'

export interface ConformanceFlow {
  readonly name: string
  readonly from: Sender
  readonly sourceIp: string
  readonly protocol: Protocol
  readonly destIp: string
  readonly destPort: number
  readonly grade: Grade
  /** What must happen; `undefined` only for `backend-specific` flows. */
  readonly expect: Outcome | undefined
  /** What kube-proxy's modes do where they differ: each of these is as good as `expect`. */
  readonly expectBy: Partial<Record<BackendName, Outcome>>
  /** Set when the Service has ClientIP affinity: all tries from one source reach one and the same endpoint. */
  readonly affinitySeconds: number | undefined
}

export interface ConformanceNode {
  readonly name: string
  /** Every address of the node's interfaces, of both families, loopback not listed. */
  readonly ips: readonly string[]
  readonly primaryIps: readonly string[]
  readonly zone: string | undefined
  /** The family that the flows are of. */
  readonly family: Family
  readonly nodePortAddresses: 'all' | 'primary' | readonly string[]
  /** Sources inside this network are pods; `undefined`: no detector. */
  readonly detectorCidr: string | undefined
  readonly masqueradeAll: boolean
  readonly localhostNodePorts: boolean
  readonly serviceCidrs: readonly string[]
}

/** The complete state of the cluster at one moment, and packets to try once the proxy has followed. */
export interface ConformanceStep {
  readonly name: string
  readonly services: readonly ApiObject[]
  readonly endpointSlices: readonly ApiObject[]
  readonly flows: readonly ConformanceFlow[]
}

export interface ConformanceCase {
  readonly name: string
  /** File and test that the case comes from, or `own`. */
  readonly source: string
  /** The row numbers of the feature table that the case proves; empty for imported cases. */
  readonly features: readonly number[]
  readonly node: ConformanceNode
  readonly steps: readonly ConformanceStep[]
}
