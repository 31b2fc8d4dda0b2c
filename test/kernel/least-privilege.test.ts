/**
 * The capabilities in manifests/base/daemon-set.yaml are enough for every tool that the proxy runs, and none of them
 * can be left out. ipvsadm is not among them: machines that run tests seldom have IPVS.
 */
import type { ExecResult } from '../../src/kernel/exec.ts'
import { ProgramRunner } from '../../src/kernel/program-runner.ts'
import { NetNamespace } from '../support/net-namespace.ts'
import { type Need, describeKernel } from '../support/skip-reasons.ts'
import { proxyCapabilities } from '../unit/manifests/read-manifests.ts'

const granted = proxyCapabilities()

interface Deed {
  readonly tool: string
  readonly needs: readonly Need[]
  readonly requires: readonly string[]
  /** Programs with their arguments; the last one is judged. */
  readonly commands: readonly (readonly string[])[]
}

const RULE = ['-t', 'nat', '-A', 'OUTPUT', '-j', 'ACCEPT']
const MATCH = ['-A', 'OUTPUT', '-m', 'set', '--match-set', 's', 'dst', '-j', 'ACCEPT']
const MAKE_SET = ['ipset', '-exist', 'create', 's', 'hash:ip']

const DEEDS: readonly Deed[] = [
  { tool: 'nft', needs: ['nft'], requires: ['NET_ADMIN'], commands: [['nft', 'add table ip t']] },
  {
    tool: 'iptables-nft',
    needs: ['iptables-nft'],
    requires: ['NET_ADMIN'],
    commands: [['iptables-nft', ...RULE]],
  },
  {
    tool: 'iptables-legacy',
    needs: ['iptables-legacy'],
    requires: ['NET_ADMIN', 'NET_RAW'],
    commands: [['iptables-legacy', ...RULE]],
  },
  { tool: 'ipset', needs: ['ipset'], requires: ['NET_ADMIN'], commands: [MAKE_SET] },
  {
    tool: 'a rule that matches an ipset',
    needs: ['ipset', 'iptables-nft'],
    requires: ['NET_ADMIN', 'NET_RAW'],
    commands: [MAKE_SET, ['iptables-nft', ...MATCH]],
  },
  { tool: 'conntrack', needs: ['conntrack'], requires: ['NET_ADMIN'], commands: [['conntrack', '-L']] },
  {
    tool: 'ip',
    needs: ['namespaces'],
    requires: ['NET_ADMIN'],
    commands: [['ip', 'address', 'add', '192.0.2.1/32', 'dev', 'lo']],
  },
]

/** Runs each command as root of a container that has these capabilities only. */
async function runWith(capabilities: readonly string[], deed: Deed): Promise<ExecResult> {
  const namespace = await NetNamespace.create()
  try {
    const set = ['-all', ...capabilities.map((name) => `+${name.toLowerCase()}`)].join(',')
    const limits = [
      'setpriv',
      `--bounding-set=${set}`,
      `--inh-caps=${set}`,
      '--',
      'setpriv',
      '--no-new-privs',
      '--',
    ]
    const exec = new ProgramRunner({ prefix: [...namespace.prefix, ...limits] })
    let result: ExecResult | undefined
    for (const [file = '', ...args] of deed.commands) result = await exec.run({ file, args })
    if (result === undefined) throw new Error(`No command for ${deed.tool}`)
    return result
  } finally {
    await namespace.close()
  }
}

for (const deed of DEEDS) {
  describeKernel(`capabilities of the DaemonSet for ${deed.tool}`, ['namespaces', ...deed.needs], () => {
    test(`${deed.tool} works with ${granted.join(' and ')}`, async () => {
      const { exitCode, stderr } = await runWith(granted, deed)
      expect({ exitCode, stderr: exitCode === 0 ? '' : stderr }).toEqual({ exitCode: 0, stderr: '' })
    })

    test.each(deed.requires)(`${deed.tool} fails without %s`, async (left) => {
      const rest = granted.filter((name) => name !== left)
      expect(rest).toHaveLength(granted.length - 1)
      expect((await runWith(rest, deed)).exitCode).not.toBe(0)
    })
  })
}

test('every capability of the DaemonSet is needed by a tool', () => {
  const needed = new Set(DEEDS.flatMap((deed) => deed.requires))
  expect([...needed].sort()).toEqual([...granted].sort())
})
