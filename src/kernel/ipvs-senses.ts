/**
 * What a proxy can notice about its kernel objects without running a program: small netlink questions, a few files below
 * /proc and /sys, and for iptables' nft variant the kernel's count of transactions. All of it is about the network
 * namespace of this process.
 */
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Family, Ip } from '../net/ip.ts'
import type { ForeignTransactions } from './foreign-transactions.ts'

export interface IpvsSenses {
  /** Whether a packet to this address stays on the node. */
  isLocal(ip: Ip): Promise<boolean>
  /** Every single address with a local route of its own. */
  localIps(): Promise<ReadonlySet<Ip>>
  /** Elements by name of set; `undefined` where the kernel does not say. */
  setSizes(): Promise<ReadonlyMap<string, number | undefined>>
  /** The text of `/proc/net/ip_vs`. */
  serverTable(): Promise<string>
  /**
   * Changes whenever a legacy rule of ours comes or goes; also when others' rules do, in any namespace, so it is a hint
   * and not a proof. `undefined`: this kernel does not tell.
   */
  ruleToken(): string | undefined
  /** Who else writes rules of iptables' nft variant; `undefined` where the kernel cannot be asked. */
  readonly foreign: ForeignTransactions | undefined
}

/** Modules of which every rule of ours uses one; each use is counted. All jumps have a comment. */
const RULE_MODULES = ['xt_comment', 'xt_set', 'xt_mark', 'xt_conntrack', 'xt_addrtype']

/** `undefined` where there can be no netlink socket. */
export async function openIpvsSenses(
  family: Family,
  foreign: ForeignTransactions | undefined,
): Promise<IpvsSenses | undefined> {
  try {
    const { IpsetSizes } = await import('./ipset-sizes.ts')
    const { LocalAddresses } = await import('./local-addresses.ts')
    const sizes = IpsetSizes.open()
    const addresses = LocalAddresses.open()
    return {
      isLocal: async (ip) => addresses.has(ip),
      localIps: async () => addresses.all(family),
      setSizes: async () => sizes.read(),
      serverTable: async () => readFile('/proc/net/ip_vs', 'latin1'),
      ruleToken,
      foreign,
    }
  } catch {
    return undefined
  }
}

/** Extensions that are built into the kernel have no count. */
function ruleToken(): string | undefined {
  try {
    return RULE_MODULES.map((name) => readFileSync(`/sys/module/${name}/refcnt`, 'latin1').trim()).join()
  } catch {
    return undefined
  }
}
