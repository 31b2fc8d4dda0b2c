/**
 * Why a kernel test cannot run here, asked of the machine itself. A skip always prints its reason; with
 * `KERNEL_TESTS=require` (or `require:nft,ipset` for some needs only) a missing capability fails the run instead.
 */
import { spawnSync } from 'node:child_process'
import { umlProblem } from '../../src/lab/uml/uml-machine.ts'

export type Need =
  | 'namespaces'
  | 'iptables-legacy'
  | 'iptables-nft'
  | 'nft'
  | 'ipset'
  | 'ipvs'
  | 'conntrack'
  | 'sctp'
  | 'ipv6'
  | 'vrf'
  | 'uml'

/** What must succeed in a fresh network namespace, and what to do when it does not. */
const PROBES: Readonly<
  Record<Exclude<Need, 'uml'>, { readonly command: readonly string[]; readonly remedy: string }>
> = {
  namespaces: { command: ['true'], remedy: 'run as root on a kernel with network namespaces' },
  'iptables-legacy': {
    command: ['iptables-legacy', '-t', 'nat', '-L', '-n'],
    remedy: 'install iptables, or use a kernel with ip_tables',
  },
  'iptables-nft': {
    command: [
      'iptables-nft',
      '-t',
      'nat',
      '-A',
      'OUTPUT',
      '-m',
      'statistic',
      '--mode',
      'random',
      '--probability',
      '0.5',
    ],
    remedy: 'install iptables, or use a kernel with nf_tables',
  },
  nft: {
    command: ['nft', 'add table ip t; add chain ip t c { type nat hook output priority -100; }'],
    remedy: 'install nftables, or use a kernel with nf_tables and its nat chains',
  },
  ipset: {
    command: ['ipset', 'create', 's', 'hash:ip,port'],
    remedy: 'install ipset, or use a kernel with ip_set',
  },
  ipvs: {
    command: ['ipvsadm', '-A', '-t', '198.51.100.1:80', '-s', 'rr'],
    remedy: 'install ipvsadm, or use a kernel with ip_vs (user-mode-linux has it)',
  },
  conntrack: {
    command: ['conntrack', '-L'],
    remedy: 'install conntrack, or use a kernel with nf_conntrack_netlink',
  },
  sctp: {
    command: ['sh', '-c', 'grep -qw SCTP /proc/net/protocols'],
    remedy:
      'use a kernel with SCTP sockets; Node.js has none either, so SCTP is judged by rules and not by packets',
  },
  vrf: {
    command: ['ip', 'link', 'add', 'red', 'type', 'vrf', 'table', '10'],
    remedy: 'use a kernel with VRF devices',
  },
  ipv6: { command: ['test', '-e', '/proc/net/if_inet6'], remedy: 'use a kernel with IPv6' },
}

/** What no package brings and usual kernels may lack: required only by name. */
const ONLY_SOME_KERNELS: ReadonlySet<Need> = new Set(['sctp', 'vrf'])

const known = new Map<Need, string | undefined>()

/** The first need that this machine lacks, in words; `undefined`: all are there. */
export function skipReason(needs: readonly Need[]): string | undefined {
  return needs.map(reasonOf).find((reason) => reason !== undefined)
}

/** Whether a missing need is an error here. */
export function isRequired(need: Need): boolean {
  const [mode, list] = (process.env['KERNEL_TESTS'] ?? '').split(':')
  return mode === 'require' && (list?.split(',').includes(need) ?? !ONLY_SOME_KERNELS.has(need))
}

/** `describe`, unless a need is missing: then one skipped test with the reason in its name, also printed. */
export function describeKernel(title: string, needs: readonly Need[], define: () => void): void {
  const reason = skipReason(needs)
  if (reason === undefined) {
    describe(title, define)
    return
  }
  const missing = needs.filter((need) => reasonOf(need) !== undefined)
  const fails = missing.some(isRequired)
  if (!fails) process.stderr.write(`note: skipped "${title}": ${reason}\n`)
  describe(title, () => {
    const declare = fails ? test : test.skip
    declare(`needs ${missing.join(', ')}`, () => {
      throw new Error(reason)
    })
  })
}

/** One test that does not run here; the reason is printed and stands in its name. */
export function skipTest(name: string, reason: string): void {
  process.stderr.write(`note: skipped "${name}": ${reason}\n`)
  test.skip(`${name}: ${reason}`, () => undefined)
}

function reasonOf(need: Need): string | undefined {
  if (!known.has(need)) known.set(need, ask(need))
  return known.get(need)
}

function ask(need: Need): string | undefined {
  if (need === 'uml') return umlProblem()
  const { command, remedy } = PROBES[need]
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' }
  const result = spawnSync('unshare', ['--net', '--', ...command], { encoding: 'utf8', env })
  if (result.status === 0) return undefined
  const said = `${result.error?.message ?? ''}${result.stderr}`.trim().split('\n').at(-1) ?? ''
  return `this machine lacks "${need}" (${said || `"${command.join(' ')}" failed`}); ${remedy}`
}
