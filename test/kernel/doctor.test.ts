/** The doctor on real kernels: set-ups that are broken on purpose, each in a namespace of its own. */
import { gatherFacts } from '../../src/cli/doctor/gather-facts.ts'
import { resolveConfig } from '../../src/config/resolve-config.ts'
import { examine } from '../../src/explain/doctor/checks.ts'
import type { Finding } from '../../src/explain/doctor/node-facts.ts'
import { NetNamespace } from '../support/net-namespace.ts'

let namespace: NetNamespace

beforeEach(async () => {
  namespace = await NetNamespace.create()
})
afterEach(async () => {
  await namespace.close()
})

async function findings(check: string, flags: readonly string[] = []): Promise<readonly Finding[]> {
  const resolved = resolveConfig(flags)
  if (!('config' in resolved)) throw new Error('Cannot use these flags')
  const signal = AbortSignal.timeout(60_000)
  const facts = await gatherFacts({
    config: resolved.config,
    exec: namespace.exec,
    nowMs: Date.now(),
    signal,
  })
  return examine(facts).filter((finding) => finding.check === check)
}

async function addPodOnBridge(): Promise<void> {
  await namespace.run('ip', ['link', 'add', 'cni0', 'type', 'bridge'])
  await namespace.run('ip', ['link', 'add', 'veth1', 'type', 'veth', 'peer', 'name', 'pod1'])
  await namespace.run('ip', ['link', 'set', 'veth1', 'master', 'cni0'])
}

describe('gatherFacts() and examine()', () => {
  test('find pods on a bridge, the setting for them, and that hairpin is off', async () => {
    await addPodOnBridge()
    expect(await findings('pod-path')).toMatchObject([
      { level: 'warning', remedy: 'set --detect-local-mode=BridgeInterface --pod-bridge-interface=cni0' },
    ])
    expect(await findings('hairpin')).toMatchObject([
      { level: 'warning', what: expect.stringContaining('veth1') },
    ])
    await namespace.run('ip', ['link', 'set', 'veth1', 'type', 'bridge_slave', 'hairpin', 'on'])
    expect(await findings('hairpin')).toMatchObject([{ level: 'ok' }])
  })

  test('find forwarding switched off', async () => {
    await namespace.run('tee', ['/proc/sys/net/ipv4/ip_forward'], '0\n')
    expect((await findings('ip-forward')).map(({ level }) => level)).toContain('error')
    await namespace.run('tee', ['/proc/sys/net/ipv4/ip_forward'], '1\n')
    await namespace.run('tee', ['/proc/sys/net/ipv6/conf/all/forwarding'], '1\n')
    expect(await findings('ip-forward')).toMatchObject([{ level: 'ok' }])
  })

  test('find a routing rule and a mangle rule on our mark', async () => {
    await namespace.run('ip', ['rule', 'add', 'fwmark', '0x4000/0x4000', 'table', '77'])
    await namespace.run('iptables-nft', [
      '-t',
      'mangle',
      '-A',
      'PREROUTING',
      '-j',
      'MARK',
      '--set-xmark',
      '0x0/0xffffffff',
    ])
    const found = await findings('marks')
    expect(found.map(({ what }) => what).join('\n')).toMatch(
      /routes by mark 0x4000\nsomebody else writes our mark bit/,
    )
    expect((await findings('marks', ['--iptables-masquerade-bit=20'])).map(({ level }) => level)).toEqual([
      'warning',
    ])
  })

  test('find what takes all packets before ours, and what a former kube-proxy left', async () => {
    const rules = `*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-ABCDEFGHIJKLMNOP - [0:0]
-A PREROUTING -j ACCEPT
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
COMMIT
`
    await namespace.run('iptables-nft-restore', ['--noflush'], rules)
    expect(await findings('jump-order')).toMatchObject([
      { level: 'error', what: expect.stringContaining('-A PREROUTING -j ACCEPT') },
    ])
    expect((await findings('other-proxies')).map(({ what }) => what)).toContain(
      'rules of a former kube-proxy are in iptables (nft)',
    )
  })

  test('find nothing wrong with tools, kernel and rights of a machine that runs these tests', async () => {
    for (const check of ['privileges', 'tools', 'kernel', 'clock'])
      expect(await findings(check, ['--mode=nftables'])).toMatchObject([{ level: 'ok' }])
  })
})
