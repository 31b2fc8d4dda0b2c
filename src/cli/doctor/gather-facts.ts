/**
 * Collects what the doctor judges. Nothing is written, no kernel module is asked for that is not there already where
 * that can be avoided, and whatever cannot be found out is simply not among the facts.
 */
import { readdir, readFile } from 'node:fs/promises'
import { release } from 'node:os'
import type { Config } from '../../config/config.ts'
import type { NodeFacts } from '../../explain/doctor/node-facts.ts'
import type { Exec } from '../../kernel/exec.ts'
import { linkFacts, ruleFacts, versionLine } from './parse-facts.ts'

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

const FEATURES: Readonly<Record<Config['mode'], readonly (readonly [string, string, readonly string[]])[]>> =
  {
    iptables: [],
    ipvs: [
      ['ipset', 'ipset', ['list', '-name']],
      ['ipvs', 'ipvsadm', ['-L', '-n']],
    ],
    nftables: [['nft', 'nft', ['list', 'tables']]],
  }

const SYSCTLS = [
  'net/ipv4/ip_forward',
  'net/ipv6/conf/all/forwarding',
  'net/bridge/bridge-nf-call-iptables',
  'net/netfilter/nf_conntrack_count',
  'net/netfilter/nf_conntrack_max',
  'net/ipv4/conf/all/rp_filter',
] as const

export interface GatherOptions {
  readonly config: Config
  readonly exec: Exec
  readonly nowMs: number
  readonly signal: AbortSignal
}

/** All facts but those about the API server. */
export async function gatherFacts(options: GatherOptions): Promise<NodeFacts> {
  const { config, nowMs } = options
  const { mode, iptablesVariant, masqueradeBit, detectLocal } = config
  const ask = asker(options)
  const links = linkFacts(await ask('ip', ['-j', '-d', 'link', 'show']))
  const [tools, features, sysctls, ipRules, iptables, tables] = await Promise.all([
    toolVersions(ask),
    featureComplaints(options),
    readSysctls(
      ask,
      links.map(({ name }) => name),
    ),
    ask('ip', ['-j', 'rule', 'show']).then(ruleFacts),
    savedRules(ask),
    ask('nft', ['list', 'tables']),
  ])
  return {
    settings: { mode, iptablesVariant, masqueradeBit, detectLocal },
    ...{ nowMs, tools, features, sysctls, links, ipRules, iptables },
    capabilities: await capabilities(),
    kernelRelease: release(),
    nftTables: [...tables.matchAll(/^table (\S+ \S+)$/gm)].map((match) => match[1] ?? ''),
    processes: await processNames(),
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

async function readSysctls(ask: Ask, devices: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const keys = [...SYSCTLS, ...devices.map((name) => `net/ipv4/conf/${name}/rp_filter`)]
  const values = await Promise.all(
    keys.map(async (key) => [key, (await ask('cat', [`/proc/sys/${key}`])).trim()] as const),
  )
  return new Map(values.filter(([, value]) => value !== ''))
}

/** Asking legacy iptables for its tables would make them, so only those that exist are asked for. */
async function savedRules(ask: Ask): Promise<NodeFacts['iptables']> {
  const nft = await ask('iptables-nft-save', [])
  const tables = (await ask('cat', ['/proc/net/ip_tables_names'])).split('\n').filter((name) => name !== '')
  const legacy = await Promise.all(tables.map((table) => ask('iptables-legacy-save', ['-t', table])))
  return { nft, legacy: legacy.join('') }
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
