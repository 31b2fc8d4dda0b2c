/**
 * How pods are wired to their node and to pods of other nodes: what a CNI plugin does. Every network keeps the rules
 * of Kubernetes: each pod has an address of its own, and pods reach each other without NAT.
 */
import type { NetHost } from '../net-host.ts'

export type PodNetworkName = 'bridge' | 'routed' | 'vxlan' | 'macvlan' | 'ipvlan' | 'two-networks'

export interface LabNodePlace {
  /** From 1. */
  readonly number: number
  readonly host: NetHost
}

export interface PodPlace {
  readonly node: LabNodePlace
  /** From 0, unique on the node among pods that exist. */
  readonly index: number
  readonly host: NetHost
}

export interface PodNetwork {
  readonly name: PodNetworkName
  /** One sentence for people: which real networks look like this. */
  readonly about: string
  /** Local-detect flags that Fairlead needs on this network. */
  readonly flags: readonly string[]
  /** Lines of `ip -batch` that succeed in an empty namespace exactly where the kernel can carry this network. */
  readonly probe: readonly string[]
  /** Prepares a node, once all nodes exist. */
  prepareNode(node: LabNodePlace, all: readonly LabNodePlace[]): Promise<void>
  /** Gives a pod its address and routes. */
  attach(pod: PodPlace): Promise<void>
}
