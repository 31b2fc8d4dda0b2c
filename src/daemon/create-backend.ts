import type { Backend, BackendOptions } from '../backends/backend.ts'
import { createIptablesBackend } from '../backends/iptables/iptables-backend.ts'
import { createIpvsBackend, IpvsBackend } from '../backends/ipvs/ipvs-backend.ts'
import { createNftablesBackend } from '../backends/nftables/nftables-backend.ts'
import type { Config } from '../config/config.ts'
import type { Exec } from '../kernel/exec.ts'
import { findIptables, Iptables } from '../kernel/iptables.ts'
import { TransactionLedger } from '../kernel/foreign-transactions.ts'
import { NfTables } from '../kernel/nf-tables.ts'
import { NftElements } from '../kernel/nft-elements.ts'
import { openIpvsSenses } from '../kernel/ipvs-senses.ts'
import { openIpvsControl } from '../kernel/open-ipvs-control.ts'
import type { KernelObject } from '../netfilter/kernel-state.ts'
import type { Logger } from '../runtime/logger.ts'

/** nftables, asked and written without a process; the ledger knows which transactions are ours. */
export interface NftablesView {
  readonly tables: NfTables
  readonly elements: NftElements | undefined
  readonly ledger: TransactionLedger
}

export interface BackendWiring {
  readonly config: Pick<Config, 'mode' | 'iptablesVariant' | 'ipvs'>
  readonly options: BackendOptions
  readonly exec: Exec
  readonly log: Logger
  /** Lower-cased name of the node. */
  readonly nodeName: string
  /** Shared by the families: a write of one is not foreign to the other. */
  readonly nftables?: NftablesView | undefined
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
        foreign: await wiring.nftables?.ledger.view(),
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
        senses: async () => openIpvsSenses(options.family, await wiring.nftables?.ledger.view()),
      })
    case 'nftables':
      return createNftablesBackend({
        options,
        exec,
        log,
        watch: wiring.nftables && {
          foreign: await wiring.nftables.ledger.view(),
          tables: wiring.nftables.tables,
        },
        elements: wiring.nftables?.elements,
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

/** `undefined` where the kernel cannot be asked: then there are dearer ways. */
export async function openNftablesView(): Promise<NftablesView | undefined> {
  const tables = await NfTables.open()
  return tables && { tables, elements: NftElements.open(), ledger: new TransactionLedger(tables) }
}
