import type { Backend, BackendOptions } from '../backends/backend.ts'
import { createIptablesBackend } from '../backends/iptables/iptables-backend.ts'
import { createIpvsBackend, IpvsBackend } from '../backends/ipvs/ipvs-backend.ts'
import { createNftablesBackend } from '../backends/nftables/nftables-backend.ts'
import type { Config } from '../config/config.ts'
import type { Exec } from '../kernel/exec.ts'
import { findIptables, Iptables } from '../kernel/iptables.ts'
import { NftNotifications } from '../kernel/nft-notifications.ts'
import { openIpvsSenses } from '../kernel/ipvs-senses.ts'
import { openIpvsControl } from '../kernel/open-ipvs-control.ts'
import type { KernelObject } from '../netfilter/kernel-state.ts'
import type { Family } from '../net/ip.ts'
import type { Logger } from '../runtime/logger.ts'

export interface BackendWiring {
  readonly config: Pick<Config, 'mode' | 'iptablesVariant' | 'ipvs'>
  readonly options: BackendOptions
  readonly exec: Exec
  readonly log: Logger
  /** Lower-cased name of the node. */
  readonly nodeName: string
}

/** The backend of the configured mode. Throws `KernelError` when the host lacks what it needs. */
export async function createBackend(wiring: BackendWiring): Promise<Backend<KernelObject>> {
  const { config, options, exec, log, nodeName } = wiring
  const variant = config.iptablesVariant === 'auto' ? undefined : config.iptablesVariant
  switch (config.mode) {
    case 'iptables':
      return createIptablesBackend({
        options,
        exec,
        log,
        variant,
        notifications: await tableChanges(options.family),
      })
    case 'ipvs':
      return createIpvsBackend({
        options,
        exec,
        log,
        variant,
        nodeName,
        ipvs: config.ipvs,
        control: await openIpvsControl(exec, log),
        senses: async (chosen) => openIpvsSenses(options.family, chosen),
      })
    case 'nftables':
      return createNftablesBackend({
        options,
        exec,
        log,
        notifications: await NftNotifications.open(
          options.family === 'IPv4' ? 'ip kube-proxy' : 'ip6 kube-proxy',
        ),
      })
  }
}

/** A backend that is only ever asked to plan and to read: it prepares nothing. Throws `KernelError` as above. */
export async function createInspector(wiring: BackendWiring): Promise<Backend<KernelObject>> {
  const { config, options, exec, log, nodeName } = wiring
  const variant = config.iptablesVariant === 'auto' ? undefined : config.iptablesVariant
  switch (config.mode) {
    case 'iptables':
      return createIptablesBackend({ options, exec, log, variant })
    case 'ipvs': {
      const iptables = new Iptables(exec, await findIptables(exec, options.family, variant))
      return new IpvsBackend({ options, exec, log, nodeName, ipvs: config.ipvs, iptables })
    }
    case 'nftables':
      return createNftablesBackend({ options, exec, log })
  }
}

/** What the kernel tells about the tables of iptables' nft variant; nothing where it cannot be asked to tell. */
async function tableChanges(family: Family): Promise<readonly NftNotifications[]> {
  const tables = family === 'IPv4' ? (['ip nat', 'ip filter'] as const) : (['ip6 nat', 'ip6 filter'] as const)
  const opened = await Promise.all(tables.map(async (table) => NftNotifications.open(table)))
  return opened.every((table) => table !== undefined) ? opened : []
}
