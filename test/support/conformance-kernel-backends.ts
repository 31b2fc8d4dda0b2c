/** The backends as the kernel tests see them: how each is made on a bed, how its kernel state is emptied and shown. */
import type { Backend, BackendName, BackendOptions } from '../../src/backends/backend.ts'
import { createIpvsBackend } from '../../src/backends/ipvs/ipvs-backend.ts'
import { createIptablesBackend } from '../../src/backends/iptables/iptables-backend.ts'
import { createNftablesBackend } from '../../src/backends/nftables/nftables-backend.ts'
import type { Forwarding } from '../../src/forwarding/forwarding.ts'
import type { Exec } from '../../src/kernel/exec.ts'
import type { IptablesVariant } from '../../src/kernel/iptables.ts'
import type { KernelObject } from '../../src/netfilter/kernel-state.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import { Reconciler, type SyncResult } from '../../src/sync/reconciler.ts'
import type { NodeBed } from './node-bed.ts'
import { asOlderNft } from './older-nft.ts'
import type { Need } from './skip-reasons.ts'

/** Where a kernel is programmed. */
export type KernelPlace = Pick<NodeBed, 'exec' | 'run'>

export interface BackendUnderTest {
  readonly title: string
  readonly mode: BackendName
  readonly needs: readonly Need[]
  /** One instance serves case after case as long as its options fit, since a start takes a dozen programs. */
  readonly isReused: boolean
  create(bed: KernelPlace, options: BackendOptions): Promise<Backend<KernelObject>>
  /** Empties the kernel of the bed's node, whoever filled it. */
  reset(bed: KernelPlace): Promise<void>
  /** Everything that decides about packets, both families, without what changes by itself. */
  rules(bed: KernelPlace): Promise<string>
}

const EMPTY_LEGACY_TABLES = ['iptables', 'ip6tables'].map((program) => {
  const tables = ['raw', 'mangle', 'nat', 'filter'].map((table) => `*${table}\\nCOMMIT\\n`).join('')
  return `printf '${tables}' | ${program}-legacy-restore`
})

export type BackendKey = 'iptables-legacy' | 'iptables-nft' | 'nftables' | 'nftables-older-nft' | 'ipvs'

export const BACKENDS: Readonly<Record<BackendKey, BackendUnderTest>> = {
  'iptables-legacy': iptables('legacy'),
  'iptables-nft': iptables('nft'),
  nftables: nftables('nftables', (exec) => exec),
  'nftables-older-nft': nftables('nftables (older nft)', asOlderNft),
  ipvs: ipvs(),
}

function iptables(variant: IptablesVariant): BackendUnderTest {
  return {
    title: `iptables (${variant})`,
    mode: 'iptables',
    isReused: false,
    needs: ['namespaces', `iptables-${variant}`, 'ipset', 'conntrack'],
    create: async (bed, options) =>
      createIptablesBackend({ options, exec: bed.exec, variant, log: silentLogger }),
    reset: async (bed) => {
      const rules = variant === 'nft' ? ['nft flush ruleset'] : EMPTY_LEGACY_TABLES
      await inShell(bed, [...rules, 'ipset destroy'])
    },
    rules: async (bed) => {
      const programs = ['iptables', 'ip6tables'].map((program) => `${program}-${variant}-save`)
      const texts = await Promise.all(programs.map((program) => bed.run(program, [])))
      return withoutCounters([...texts, await bed.run('ipset', ['save'])].join('\n'))
    },
  }
}

function nftables(title: string, execOf: (exec: Exec) => Exec): BackendUnderTest {
  return {
    title,
    mode: 'nftables',
    isReused: false,
    needs: ['namespaces', 'nft', 'conntrack'],
    create: async (bed, options) =>
      createNftablesBackend({ options, exec: execOf(bed.exec), log: silentLogger }),
    reset: async (bed) => {
      await bed.run('nft', ['flush', 'ruleset'])
    },
    rules: async (bed) => {
      const text = await bed.run('nft', ['--stateless', 'list', 'ruleset'])
      // Packets fill this set; newer versions print how many.
      return text
        .replaceAll(/(set translated-endpoints \{[^}]*?)\n\s*elements = \{[^}]*\}/g, '$1')
        .replaceAll(/\t# count \d+$/gm, '')
    },
  }
}

function ipvs(): BackendUnderTest {
  return {
    title: 'ipvs',
    mode: 'ipvs',
    isReused: true,
    needs: ['namespaces', 'ipvs', 'iptables-legacy', 'ipset', 'conntrack'],
    create: async (bed, options) =>
      createIpvsBackend({ options, exec: bed.exec, variant: 'legacy', nodeName: 'node', log: silentLogger }),
    reset: async (bed) => {
      // The device that holds the Services' addresses is there from the first sync on.
      const device = 'if ip link show kube-ipvs0 >/dev/null 2>&1; then ip link del kube-ipvs0; fi'
      await inShell(bed, ['ipvsadm -C', ...EMPTY_LEGACY_TABLES, 'ipset destroy', device])
    },
    rules: async (bed) => {
      const commands = [
        ['ipvsadm', '-S', '-n'],
        ['iptables-legacy-save'],
        ['ip6tables-legacy-save'],
        ['ipset', 'save'],
        ['ip', '-o', 'addr', 'show', 'dev', 'kube-ipvs0'],
      ]
      const texts: string[] = []
      for (const [file = '', ...args] of commands) texts.push((await bed.exec.run({ file, args })).stdout)
      // A server that drains goes by itself.
      return withoutCounters(texts.join('\n')).replaceAll(/^.* -w 0\n/gm, '')
    },
  }
}

/** One process of the node's namespace for many commands: in user-mode-linux every start from here is dear. */
async function inShell(bed: KernelPlace, commands: readonly string[]): Promise<void> {
  await bed.run('sh', ['-e'], commands.join('\n'))
}

/** Comments with the time, numbers of packets, open connections and seeds of hashes are no rules. */
function withoutCounters(text: string): string {
  return text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/ \[\d+:\d+\]/g, '')
    .replaceAll(/^add FL-TRANSLATED.*\n/gm, '')
    .replaceAll(/ initval 0x\w+/g, '')
}

/** A backend with its loop's memory: what the daemon does after every change, without the waiting. */
export class SyncedBackend {
  readonly #reconciler: Reconciler<KernelObject>
  readonly #refusals: string[] = []

  constructor(backend: Backend<KernelObject>) {
    this.#reconciler = new Reconciler({
      backend,
      clock: systemClock,
      onRefusal: (port, error) => {
        if (error !== undefined) this.#refusals.push(`${port.key}: ${error.message}`)
      },
    })
  }

  /** Rejects also when the kernel refused a single service port. */
  async sync(forwarding: Forwarding): Promise<SyncResult> {
    const result = await this.#reconciler.sync(forwarding, AbortSignal.timeout(60_000))
    if (this.#refusals.length > 0) throw new Error(`The kernel refused ${this.#refusals.join('; ')}`)
    return result
  }
}
