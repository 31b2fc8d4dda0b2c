/** What this backend keeps in the kernel besides chains and rules. */
import type { IptablesObject } from '../../netfilter/iptables/chain.ts'
import type { Family } from '../../net/ip.ts'

/** A set that the kernel fills; we only make it and take it away, so what it holds outlives us. */
export interface KernelSet {
  readonly kind: 'set'
  readonly key: string
  /** Type and options, as `ipset create` takes them. */
  readonly text: string
  readonly name: string
}

/** A kernel setting that is switched on and never off again. */
export interface Sysctl {
  readonly kind: 'sysctl'
  /** Path below `/proc/sys`. */
  readonly key: string
  readonly text: string
}

export type BackendObject = IptablesObject | KernelSet | Sysctl

/** Kernels may have sets or not; without them session affinity is limited, and more packets are dropped as invalid. */
export type SetSupport = 'ipset' | 'none'

const SIZE = 'maxelem 1048576'
/** As long as connection tracking remembers an idle connection (`nf_conntrack_tcp_timeout_established`): five days. */
const TRANSLATED_SECONDS = 432_000

/**
 * The clients that one endpoint of a Service with session affinity has seen. Each is added with the timeout of its
 * Service; the one here only makes entries have a timeout at all.
 */
export function affinitySet(name: string, family: Family): KernelSet {
  return kernelSet(name, `hash:ip family ${inet(family)} hashsize 64 ${SIZE} timeout 10800`)
}

export function translatedName(family: Family): string {
  return family === 'IPv4' ? 'FL-TRANSLATED-4' : 'FL-TRANSLATED-6'
}

/** The addresses and ports that connections were translated to on this node: where their replies come from. */
export function translatedSet(family: Family): KernelSet {
  return kernelSet(
    translatedName(family),
    `hash:ip,port family ${inet(family)} ${SIZE} timeout ${TRANSLATED_SECONDS}`,
  )
}

/** What a set of this name is; `undefined`: not one of ours in this family. */
export function knownSet(name: string, family: Family): KernelSet | undefined {
  if (name === translatedName(family)) return translatedSet(family)
  return name.startsWith(affinityPrefix(family)) ? affinitySet(name, family) : undefined
}

/** Sets of both families share one name space. */
export function affinityPrefix(family: Family): string {
  return family === 'IPv4' ? 'FL-A4-' : 'FL-A6-'
}

/** Packets to 127.0.0.0/8 may be translated to an address elsewhere: NodePorts on localhost need that. */
export const ROUTE_LOCALNET: Sysctl = { kind: 'sysctl', key: 'net/ipv4/conf/all/route_localnet', text: '1' }

function kernelSet(name: string, text: string): KernelSet {
  return { kind: 'set', key: `set/${name}`, text, name }
}

function inet(family: Family): string {
  return family === 'IPv4' ? 'inet' : 'inet6'
}
