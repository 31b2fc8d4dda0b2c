/**
 * What a proxy can notice about its kernel objects without running a program: small netlink questions, a few files below
 * /proc and /sys, and for iptables' nft variant what the kernel tells by itself. All of it is about the network namespace
 * of this process.
 */
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Family, Ip } from '../net/ip.ts'
import type { IptablesVariant } from './iptables.ts'
import { NftNotifications } from './nft-notifications.ts'

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
  /** The kernel's word about the tables of iptables' nft variant; empty where it cannot be asked to tell. */
  readonly ruleChanges: readonly Pick<NftNotifications, 'ownWrites' | 'foreignChange'>[]
}

/** Modules of which every rule of ours uses one; each use is counted. All jumps have a comment. */
const RULE_MODULES = ['xt_comment', 'xt_set', 'xt_mark', 'xt_conntrack', 'xt_addrtype']

/** `undefined` where there can be no netlink socket. */
export async function openIpvsSenses(
  family: Family,
  variant: IptablesVariant,
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
      ruleChanges: variant === 'nft' ? await tableChanges(family) : [],
    }
  } catch {
    return undefined
  }
}

async function tableChanges(family: Family): Promise<readonly NftNotifications[]> {
  const ip = family === 'IPv4' ? 'ip' : 'ip6'
  const tables = (['nat', 'filter', 'mangle'] as const).map((table) => `${ip} ${table}` as const)
  const opened = await Promise.all(tables.map(async (table) => NftNotifications.open(table)))
  return opened.every((table) => table !== undefined) ? opened : []
}

/** Extensions that are built into the kernel have no count. */
function ruleToken(): string | undefined {
  try {
    return RULE_MODULES.map((name) => readFileSync(`/sys/module/${name}/refcnt`, 'latin1').trim()).join()
  } catch {
    return undefined
  }
}
