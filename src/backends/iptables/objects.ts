/** What this backend keeps in the kernel besides chains and rules. */
import type { IptablesObject } from '../../netfilter/iptables/chain.ts'
import type { Family } from '../../net/ip.ts'

/**
 * The clients that one endpoint of a Service with session affinity has seen, each for as long as the timeout. The
 * kernel fills it; we only make it and take it away, so what it holds outlives us.
 */
export interface AffinitySet {
  readonly kind: 'affinity-set'
  readonly key: string
  readonly text: Family
  readonly name: string
}

/** A kernel setting that is switched on and never off again. */
export interface Sysctl {
  readonly kind: 'sysctl'
  /** Path below `/proc/sys`. */
  readonly key: string
  readonly text: string
}

export type BackendObject = IptablesObject | AffinitySet | Sysctl

export function affinitySet(name: string, family: Family): AffinitySet {
  return { kind: 'affinity-set', key: `set/${name}`, text: family, name }
}

/** Packets to 127.0.0.0/8 may be translated to an address elsewhere: NodePorts on localhost need that. */
export const ROUTE_LOCALNET: Sysctl = { kind: 'sysctl', key: 'net/ipv4/conf/all/route_localnet', text: '1' }
