import type { Backend, BackendOptions } from '../backends/backend.ts'
import { createIptablesBackend } from '../backends/iptables/iptables-backend.ts'
import type { Config } from '../config/config.ts'
import type { Exec } from '../kernel/exec.ts'
import type { KernelObject } from '../netfilter/kernel-state.ts'
import type { Logger } from '../runtime/logger.ts'

export interface BackendWiring {
  readonly config: Config
  readonly options: BackendOptions
  readonly exec: Exec
  readonly log: Logger
  /** Lower-cased name of the node. */
  readonly nodeName: string
}

/** The backend of the configured mode. Throws `KernelError` when the host lacks what it needs. */
export async function createBackend(wiring: BackendWiring): Promise<Backend<KernelObject>> {
  const { config, options, exec, log } = wiring
  switch (config.mode) {
    case 'iptables': {
      const variant = config.iptablesVariant === 'auto' ? undefined : config.iptablesVariant
      return createIptablesBackend({ options, exec, log, variant })
    }
    case 'ipvs':
    case 'nftables':
      throw new Error(`Cannot run in ${config.mode} mode: this build has none`)
  }
}
