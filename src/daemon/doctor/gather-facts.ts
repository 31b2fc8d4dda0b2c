/**
 * Collects what the doctor judges. Nothing is written, no kernel module is asked for that is not there already where
 * that can be avoided, and whatever cannot be found out is simply not among the facts.
 */
import { readdir, readFile } from 'node:fs/promises'
import { release } from 'node:os'
import type { Config } from '../../config/config.ts'
import { udpTunnels } from '../../explain/doctor/checksum-check.ts'
import type { LinkFact, NodeFacts } from '../../explain/doctor/node-facts.ts'
import type { Exec } from '../../kernel/exec.ts'
import {
  checksumOffloadOf,
  linkFacts,
  nftTablesIn,
  ruleFacts,
  sysctlFacts,
  underlayOf,
  versionLine,
} from './parse-facts.ts'

/** Bits of the capabilities that matter, as in `linux/capability.h`. */
const CAPABILITIES = [
  ['NET_ADMIN', 12n],
  ['NET_RAW', 13n],
] as const

const TOOLS: readonly (readonly [name: string, args: readonly string[]])[] = [
  ['iptables', ['--version']],
  ['nft', ['--version']],
  ['ipset', ['--version']],
  ['conntrack', ['--version']],
  ['ipvsadm', ['--version']],
  ['ip', ['-V']],
]

/** "list tables" would read every element of every set, of other software too: seconds in a large cluster. */
const LIST_CHAINS = ['list', 'chains', 'ip'] as const

const FEATURES: Readonly<Record<Config['mode'], readonly (readonly [string, string, readonly string[]])[]>> =
  {
    iptables: [],
    ipvs: [
      ['ipset', 'ipset', ['list', '-name']],
      ['ipvs', 'ipvsadm', ['-L', '--timeout']],
    ],
    nftables: [['nft', 'nft', LIST_CHAINS]],
  }

const SYSCTLS = [
  'net/ipv4/ip_forward',
  'net/ipv6/conf/all/forwarding',
  'net/bridge/bridge-nf-call-iptables',
  'net/netfilter/nf_conntrack_count',
  'net/netfilter/nf_conntrack_max',
  'net/ipv4/conf/all/rp_filter',
  'net/ipv4/conf/all/route_localnet',
  'net/ipv4/tcp_l3mdev_accept',
  'net/ipv4/udp_l3mdev_accept',
] as const

export interface GatherOptions {
  readonly config: Config
  readonly exec: Exec
  readonly nowMs: number
  readonly signal: AbortSignal
  /**
   * What costs as much as there are Services and processes is left out: rules outside of `mangle`, processes, and what is
   * judged with those rules alone.
   */
  readonly short?: boolean
}

const TABLES = ['mangle', 'nat', 'filter', 'raw', 'security'] as const

/** All facts but those about the API server. */
export async function gatherFacts(options: GatherOptions): Promise<NodeFacts> {
  const { config, nowMs, short = false } = options
  const { mode, iptablesVariant, masqueradeBit, detectLocal, localhostNodePorts } = config
  const ask = asker(options)
  const links = linkFacts(await ask('ip', ['-j', '-d', 'link', 'show']))
  const [tools, features, sysctls, ipRules, iptables, tables, underlay, checksumOffload] = await Promise.all([
    toolVersions(ask),
    featureComplaints(options),
    readSysctls(
      options,
      links.map(({ name }) => name),
    ),
    ask('ip', ['-j', 'rule', 'show']).then(ruleFacts),
    savedRules(ask, short ? ['mangle'] : TABLES),
    Promise.all([ask('nft', LIST_CHAINS), ask('nft', ['list', 'chains', 'ip6'])]),
    underlayDevice(ask),
    short ? new Map<string, boolean>() : checksumOffloads(ask, links),
  ])
  return {
    settings: { mode, iptablesVariant, masqueradeBit, detectLocal, localhostNodePorts },
    ...{ nowMs, tools, features, sysctls, links, ipRules, iptables, underlay, checksumOffload },
    capabilities: await capabilities(),
    kernelRelease: release(),
    nftTables: tables.flatMap(nftTablesIn),
    processes: short ? [] : await processNames(),
    api: undefined,
  }
}

/** Standard output of a program that succeeded; empty for every other end. */
type Ask = (file: string, args: readonly string[]) => Promise<string>

function asker({ exec, signal }: GatherOptions): Ask {
  return async (file, args) => {
    const result = await exec.run({ file, args, signal, timeoutMs: 10_000 }).catch(() => undefined)
    return result?.exitCode === 0 ? result.stdout : ''
  }
}

async function toolVersions(ask: Ask): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  for (const [name, args] of TOOLS) {
    const line = versionLine(await ask(name, args))
    if (line !== undefined) found.set(name, line)
  }
  return found
}

async function featureComplaints({
  config,
  exec,
  signal,
}: GatherOptions): Promise<ReadonlyMap<string, string | undefined>> {
  const found = new Map<string, string | undefined>()
  for (const [feature, file, args] of FEATURES[config.mode]) {
    try {
      const { exitCode, stderr } = await exec.run({ file, args, signal, timeoutMs: 10_000 })
      found.set(
        feature,
        exitCode === 0 ? undefined : (stderr.trim().split('\n')[0] ?? `exit code ${exitCode}`),
      )
    } catch (error) {
      found.set(feature, (error as Error).message)
    }
  }
  return found
}

/** One program for all, however many devices there are; what the kernel does not have makes it fail and is left out. */
async function readSysctls(
  { exec, signal }: GatherOptions,
  devices: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const keys = [...SYSCTLS, ...devices.map((name) => `net/ipv4/conf/${name}/rp_filter`)]
  const args = ['-s', '-H', '', ...keys.map((key) => `/proc/sys/${key}`)]
  const result = await exec.run({ file: 'grep', args, signal, timeoutMs: 10_000 }).catch(() => undefined)
  return sysctlFacts(result?.stdout ?? '')
}

async function checksumOffloads(ask: Ask, links: readonly LinkFact[]): Promise<ReadonlyMap<string, boolean>> {
  const found = new Map<string, boolean>()
  for (const { name } of udpTunnels(links)) {
    const isOn = checksumOffloadOf(await ask('ethtool', ['-k', name]))
    if (isOn !== undefined) found.set(name, isOn)
  }
  return found
}

async function underlayDevice(ask: Ask): Promise<string | undefined> {
  const [v4, v6] = await Promise.all([
    ask('ip', ['-j', 'route', 'show', 'default']),
    ask('ip', ['-j', '-6', 'route', 'show', 'default']),
  ])
  return underlayOf(v4) ?? underlayOf(v6)
}

/** Asking for a table would make it, so only those that exist are asked for. */
async function savedRules(ask: Ask, wanted: readonly string[]): Promise<NodeFacts['iptables']> {
  const existing = (await ask('cat', ['/proc/net/ip_tables_names'])).split('\n')
  const save = async (program: string, tables: readonly string[]): Promise<string> =>
    (await Promise.all(tables.map((table) => ask(program, ['-t', table])))).join('')
  const nft = wanted === TABLES ? ask('iptables-nft-save', []) : save('iptables-nft-save', wanted)
  const legacy = save(
    'iptables-legacy-save',
    wanted.filter((table) => existing.includes(table)),
  )
  return { nft: await nft, legacy: await legacy }
}

async function capabilities(): Promise<ReadonlySet<string>> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '')
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
  return new Set(CAPABILITIES.filter(([, bit]) => ((effective >> bit) & 1n) === 1n).map(([name]) => name))
}

async function processNames(): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const names: string[] = []
  for (const pid of pids) names.push((await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim())
  return names.filter((name) => name !== '')
}
