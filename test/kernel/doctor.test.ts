/** The doctor on real kernels: set-ups that are broken on purpose, each in a namespace of its own. */
import { gatherFacts } from '../../src/daemon/doctor/gather-facts.ts'
import { resolveConfig } from '../../src/config/resolve-config.ts'
import { examine } from '../../src/explain/doctor/checks.ts'
import type { Finding, NodeFacts } from '../../src/explain/doctor/node-facts.ts'
import { NetNamespace } from '../support/net-namespace.ts'
import { describeKernel } from '../support/skip-reasons.ts'

let namespace: NetNamespace

beforeEach(async () => {
  namespace = await NetNamespace.create()
})
afterEach(async () => {
  await namespace.close()
})

async function findings(check: string, flags: readonly string[] = []): Promise<readonly Finding[]> {
  return examine(await facts(flags)).filter((finding) => finding.check === check)
}

/** As if this were another kernel. */
async function findingsOn(kernelRelease: string, check: string): Promise<readonly Finding[]> {
  return examine({ ...(await facts([])), kernelRelease }).filter((finding) => finding.check === check)
}

async function facts(flags: readonly string[]): Promise<NodeFacts> {
  const resolved = resolveConfig(flags)
  if (!('config' in resolved)) throw new Error('Cannot use these flags')
  const signal = AbortSignal.timeout(60_000)
  return gatherFacts({
    config: resolved.config,
    exec: namespace.exec,
    nowMs: Date.now(),
    signal,
  })
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

  test('find a table that another mode has left, of either family', async () => {
    expect(await findings('other-proxies')).toMatchObject([{ level: 'ok' }])
    for (const family of ['ip', 'ip6']) {
      await namespace.run('nft', [`add table ${family} kube-proxy; add chain ${family} kube-proxy services`])
      expect(await findings('other-proxies')).toMatchObject([
        { level: 'warning', what: 'nftables has a table kube-proxy' },
      ])
      expect(await findings('other-proxies', ['--mode=nftables'])).toMatchObject([{ level: 'ok' }])
      await namespace.run('nft', [`delete table ${family} kube-proxy`])
    }
  })

  test('find a tunnel, and pods, whose packets do not fit on their way', async () => {
    await namespace.run('ip', ['link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'wire'])
    await namespace.run('ip', ['addr', 'add', '192.0.2.1/24', 'dev', 'uplink'])
    for (const end of ['uplink', 'wire']) await namespace.run('ip', ['link', 'set', end, 'up'])
    await namespace.run('ip', ['route', 'add', 'default', 'via', '192.0.2.2'])
    const vxlan = ['id', '1', 'dev', 'uplink', 'dstport', '8472', 'local', '192.0.2.1']
    await namespace.run('ip', ['link', 'add', 'flannel.1', 'type', 'vxlan', ...vxlan])
    await namespace.run('ip', ['link', 'set', 'flannel.1', 'up'])
    await addPodOnBridge()
    expect(await findings('mtu')).toMatchObject([
      { level: 'warning', what: expect.stringContaining('veth1 have MTU 1500, and flannel.1 takes 1450') },
    ])
    await namespace.run('ip', ['link', 'set', 'veth1', 'mtu', '1450'])
    expect(await findings('mtu')).toMatchObject([{ level: 'ok' }])
    await namespace.run('ip', ['link', 'set', 'uplink', 'mtu', '1400'])
    expect(await findings('mtu')).toMatchObject([
      { level: 'warning', what: expect.stringContaining('MTU 1450, and uplink below it leaves 1350') },
    ])
  })

  test('find a tunnel, and the rule that translates what it sends', async () => {
    expect(await findings('checksum')).toMatchObject([
      { level: 'ok', what: 'no tunnel puts packets into UDP' },
    ])
    await namespace.run('ip', ['link', 'add', 'uplink', 'type', 'veth', 'peer', 'name', 'wire'])
    const vxlan = ['id', '1', 'dev', 'uplink', 'dstport', '8472', 'local', '192.0.2.1', 'noudpcsum']
    await namespace.run('ip', ['link', 'add', 'flannel.1', 'type', 'vxlan', ...vxlan])
    await namespace.run('ip', ['link', 'set', 'flannel.1', 'up'])
    expect(await findings('checksum')).toMatchObject([
      { level: 'ok', what: expect.stringContaining('no iptables rule translates what flannel.1 sends') },
    ])
    const mark = ['-m', 'mark', '--mark', '0x4000/0x4000', '-j', 'MASQUERADE']
    await namespace.run('iptables-nft', ['-t', 'nat', '-A', 'POSTROUTING', ...mark])
    expect(await findingsOn('5.4.0', 'checksum')).toMatchObject([
      { level: 'warning', what: expect.stringContaining('wrong checksums on what flannel.1 sends') },
    ])
    expect(await findingsOn('5.15.0', 'checksum')).toMatchObject([{ level: 'ok' }])
  })

  test('find neighbours let through to 127.0.0.1, until a rule guards it', async () => {
    expect(await findings('route-localnet')).toMatchObject([{ level: 'ok' }])
    await namespace.run('tee', ['/proc/sys/net/ipv4/conf/all/route_localnet'], '1\n')
    expect(await findings('route-localnet')).toMatchObject([
      { level: 'warning', remedy: expect.stringContaining('route_localnet=0') },
    ])
    const guard = `*filter
:KUBE-FIREWALL - [0:0]
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
COMMIT
`
    await namespace.run('iptables-nft-restore', ['--noflush'], guard)
    expect(await findings('route-localnet')).toMatchObject([{ level: 'ok' }])
  })

  test('find rules in the variant of iptables that kubelet does not use', async () => {
    await namespace.run(
      'iptables-nft-restore',
      ['--noflush'],
      '*mangle\n:KUBE-IPTABLES-HINT - [0:0]\nCOMMIT\n',
    )
    await namespace.run('iptables-legacy-restore', ['--noflush'], '*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n')
    expect(await findings('iptables-variant')).toMatchObject([
      { level: 'warning', remedy: 'run "fairlead --cleanup --iptables-variant=legacy"' },
    ])
    expect(await findings('iptables-variant', ['--iptables-variant=legacy'])).toMatchObject([
      { level: 'error', what: 'kubelet uses iptables (nft), and legacy is configured' },
    ])
  })

  test('find strict reverse path filtering where pods have routing tables of their own', async () => {
    await namespace.run('ip', ['link', 'add', 'eni1', 'type', 'veth', 'peer', 'name', 'pod1'])
    await namespace.run('tee', ['/proc/sys/net/ipv4/conf/eni1/rp_filter'], '1\n')
    expect(await findings('rp-filter')).toMatchObject([
      { level: 'warning', what: expect.stringContaining('strict on eni1') },
    ])
    await namespace.run('tee', ['/proc/sys/net/ipv4/conf/eni1/rp_filter'], '2\n')
    expect(await findings('rp-filter')).toMatchObject([{ level: 'ok' }])
  })

  test('find nothing wrong with tools, kernel and rights of a machine that runs these tests', async () => {
    for (const check of ['privileges', 'tools', 'kernel', 'clock'])
      expect(await findings(check, ['--mode=nftables'])).toMatchObject([{ level: 'ok' }])
  })
})

describeKernel('gatherFacts() and examine() on a kernel with VRFs', ['vrf'], () => {
  test('find a VRF that stands before the interfaces of pods', async () => {
    await namespace.run('ip', ['link', 'add', 'red', 'type', 'vrf', 'table', '10'])
    await namespace.run('ip', ['link', 'add', 'cali1', 'type', 'veth', 'peer', 'name', 'pod1'])
    await namespace.run('ip', ['link', 'set', 'cali1', 'master', 'red'])
    const flags = ['--detect-local-mode=InterfaceNamePrefix', '--pod-interface-name-prefix=cali']
    const found = (await findings('vrf', flags)).map(({ what }) => what).join('\n')
    expect(found).toMatch(/recognised by their interface.*cali1 \(red\)/)
  })
})
