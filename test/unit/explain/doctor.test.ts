import {
  linkFacts,
  ruleFacts,
  sysctlFacts,
  underlayOf,
  versionLine,
} from '../../../src/daemon/doctor/parse-facts.ts'
import { CHECKS, examine, START_CHECKS } from '../../../src/explain/doctor/checks.ts'
import { dataPathOf } from '../../../src/explain/doctor/network-checks.ts'
import type { LinkFact, NodeFacts } from '../../../src/explain/doctor/node-facts.ts'

function aLink(name: string, kind = '', more: Partial<LinkFact> = {}): LinkFact {
  const plain = {
    master: undefined,
    lower: undefined,
    outerChecksum: undefined,
    hairpin: false,
    promiscuous: false,
    up: true,
    mtu: 1500,
  }
  return { name, kind, ...plain, ...more }
}

const BRIDGE = [aLink('cni0', 'bridge'), aLink('veth1', 'veth', { master: 'cni0', hairpin: true })]

const SAVED = `*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-MARK-MASQ -m comment --comment "masquerade later" -j MARK --set-xmark 0x4000/0x4000
COMMIT
*mangle
:KUBE-IPTABLES-HINT - [0:0]
COMMIT
*filter
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
COMMIT
`

/** A healthy node in iptables mode with pods on a bridge. */
const HEALTHY: NodeFacts = {
  settings: {
    mode: 'iptables',
    iptablesVariant: 'auto',
    masqueradeBit: 14,
    detectLocal: {
      mode: 'ClusterCIDR',
      clusterCidrs: ['10.244.0.0/16'],
      bridgeInterface: '',
      interfaceNamePrefixes: [],
    },
    localhostNodePorts: false,
  },
  underlay: 'eth0',
  checksumOffload: new Map(),
  nowMs: Date.UTC(2026, 5, 1),
  capabilities: new Set(['NET_ADMIN', 'NET_RAW']),
  tools: new Map([
    ['iptables', 'iptables v1.8.9 (nf_tables)'],
    ['nft', 'nftables v1.0.6 (Lester Gooch #5)'],
    ['ipset', 'ipset v7.17, protocol version: 7'],
    ['conntrack', 'conntrack v1.4.7 (conntrack-tools)'],
    ['ip', 'ip utility, iproute2-6.1.0'],
  ]),
  kernelRelease: '6.1.0-18-amd64',
  features: new Map([
    ['nft', undefined],
    ['ipset', undefined],
    ['ipvs', undefined],
  ]),
  sysctls: new Map([
    ['net/ipv4/ip_forward', '1'],
    ['net/ipv6/conf/all/forwarding', '1'],
    ['net/bridge/bridge-nf-call-iptables', '1'],
    ['net/netfilter/nf_conntrack_count', '100'],
    ['net/netfilter/nf_conntrack_max', '262144'],
  ]),
  links: [aLink('eth0'), ...BRIDGE],
  ipRules: [],
  iptables: { nft: SAVED, legacy: '' },
  nftTables: [],
  processes: ['systemd', 'kubelet'],
  api: { unreachable: undefined, clockAheadMs: 300, forbidden: [] },
}

function sysctl(key: string, value: string | undefined): Pick<NodeFacts, 'sysctls'> {
  const others = [...HEALTHY.sysctls].filter(([name]) => name !== key)
  return { sysctls: new Map(value === undefined ? others : [...others, [key, value]]) }
}

function settings(changes: Partial<NodeFacts['settings']>): Pick<NodeFacts, 'settings'> {
  return { settings: { ...HEALTHY.settings, ...changes } }
}

function detect(changes: Partial<NodeFacts['settings']['detectLocal']>): Pick<NodeFacts, 'settings'> {
  return settings({ detectLocal: { ...HEALTHY.settings.detectLocal, ...changes } })
}

const api = (changes: Partial<NonNullable<NodeFacts['api']>>): Pick<NodeFacts, 'api'> => ({
  api: { unreachable: undefined, clockAheadMs: 0, forbidden: [], ...changes },
})

const OLD_TUNNEL: Partial<NodeFacts> = {
  kernelRelease: '5.4.0',
  links: [aLink('eth0'), aLink('flannel.1', 'vxlan', { mtu: 1450, outerChecksum: false })],
}

function saved(rule: string): Pick<NodeFacts, 'iptables'> {
  return { iptables: { nft: SAVED.replace('COMMIT', `${rule}\nCOMMIT`), legacy: '' } }
}

interface BrokenNode {
  readonly what: string
  readonly facts: Partial<NodeFacts>
  readonly found: readonly [check: string, level: string, text: RegExp, remedy: RegExp]
}

const BROKEN: readonly BrokenNode[] = [
  {
    what: 'no rights',
    facts: { capabilities: new Set(['NET_RAW']) },
    found: ['privileges', 'error', /missing capabilities: NET_ADMIN/, /securityContext/],
  },
  {
    what: 'no conntrack tool',
    facts: { tools: new Map([...HEALTHY.tools].filter(([name]) => name !== 'conntrack')) },
    found: ['tools', 'error', /conntrack is missing/, /install/],
  },
  {
    what: 'an old nft',
    facts: {
      ...settings({ mode: 'nftables' }),
      tools: new Map([...HEALTHY.tools, ['nft', 'nftables v0.9.8']]),
    },
    found: ['tools', 'error', /nft is too old/, /1\.0\.1/],
  },
  {
    what: 'an old kernel for nftables mode',
    facts: { ...settings({ mode: 'nftables' }), kernelRelease: '5.4.0-generic' },
    found: ['kernel', 'error', /Linux 5\.4\.0-generic is too old for nftables mode/, /5\.13/],
  },
  {
    what: 'no IPVS in the kernel',
    facts: { ...settings({ mode: 'ipvs' }), features: new Map([['ipvs', "Can't initialize ipvs"]]) },
    found: ['kernel', 'error', /does not answer ipvs: Can't initialize/, /load its module/],
  },
  {
    what: 'forwarding off',
    facts: sysctl('net/ipv4/ip_forward', '0'),
    found: ['ip-forward', 'error', /ip_forward is 0/, /sysctl -w net\.ipv4\.ip_forward=1/],
  },
  {
    what: 'forwarding of IPv6 off in a cluster that has it',
    facts: {
      ...detect({ clusterCidrs: ['10.244.0.0/16', 'fd00:10:244::/56'] }),
      ...sysctl('net/ipv6/conf/all/forwarding', '0'),
    },
    found: ['ip-forward', 'warning', /no IPv6 gets from or to pods/, /ipv6\.conf\.all\.forwarding=1/],
  },
  {
    what: 'strict reverse path filtering with several interfaces for pods',
    facts: {
      links: [aLink('eth0'), aLink('eni1', 'veth')],
      sysctls: new Map([...HEALTHY.sysctls, ['net/ipv4/conf/all/rp_filter', '1']]),
    },
    found: ['rp-filter', 'warning', /strict on eth0, eni1/, /loose/],
  },
  {
    what: 'a bridge without br_netfilter',
    facts: sysctl('net/bridge/bridge-nf-call-iptables', undefined),
    found: ['br-netfilter', 'error', /br_netfilter is not loaded: pods on cni0/, /modprobe br_netfilter/],
  },
  {
    what: 'br_netfilter switched off',
    facts: sysctl('net/bridge/bridge-nf-call-iptables', '0'),
    found: ['br-netfilter', 'error', /bridge-nf-call-iptables is 0/, /sysctl -w/],
  },
  {
    what: 'ports without hairpin',
    facts: { links: BRIDGE.map((link) => ({ ...link, hairpin: false })) },
    found: ['hairpin', 'warning', /hairpin is off on veth1/, /hairpinMode/],
  },
  {
    what: 'nobody recognised as a pod',
    facts: detect({ clusterCidrs: [] }),
    found: [
      'pod-path',
      'warning',
      /attached by a bridge \(cni0\)/,
      /BridgeInterface --pod-bridge-interface=cni0/,
    ],
  },
  {
    what: 'a bridge that does not exist',
    facts: {
      ...detect({ mode: 'BridgeInterface', bridgeInterface: 'br9' }),
      links: [aLink('cali12', 'veth')],
    },
    found: ['pod-path', 'error', /br9, which does not exist; they are attached by Calico/, /prefix=cali/],
  },
  {
    what: 'a tunnel whose packets do not fit below it',
    facts: { links: [...HEALTHY.links, aLink('flannel.1', 'vxlan', { lower: 'eth0' })] },
    found: ['mtu', 'warning', /vxlan flannel\.1 has MTU 1500, and eth0 below it leaves 1450/, /mtu 1450/],
  },
  {
    what: 'pods that send more than their tunnel takes',
    facts: { links: [...HEALTHY.links, aLink('flannel.1', 'vxlan', { lower: 'eth0', mtu: 1450 })] },
    found: [
      'mtu',
      'warning',
      /1 pod devices such as veth1 have MTU 1500, and flannel\.1 takes 1450/,
      /to 1450/,
    ],
  },
  {
    what: 'pods with jumbo frames on an ordinary wire',
    facts: { links: [aLink('eth0'), aLink('cali1', 'veth', { mtu: 9000 })] },
    found: ['mtu', 'warning', /cali1 have MTU 9000, and eth0 takes 1500/, /to 1500/],
  },
  {
    what: 'a mark that stays on what a tunnel sends',
    facts: { ...OLD_TUNNEL, ...saved('-A KUBE-POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE') },
    found: [
      'checksum',
      'warning',
      /Linux 5\.4\.0 writes wrong checksums on what flannel\.1 sends.*\(if flannel\.1 leaves.*-A KUBE-POSTROUTING/,
      /^ethtool -K flannel\.1 tx-checksum-ip-generic off, .*Linux 5\.7/,
    ],
  },
  {
    what: 'a rule that translates all that leaves',
    facts: {
      ...OLD_TUNNEL,
      ...saved('-A POSTROUTING -o eth0 -j MASQUERADE --random-fully'),
      checksumOffload: new Map([['flannel.1', true]]),
    },
    found: ['checksum', 'warning', /translated again: -A POSTROUTING -o eth0/, /delete that rule/],
  },
  {
    what: 'a VRF that hides the interfaces of pods',
    facts: {
      ...detect({ mode: 'InterfaceNamePrefix', interfaceNamePrefixes: ['cali'] }),
      links: [aLink('eth0'), aLink('red', 'vrf'), aLink('cali1', 'veth', { master: 'red' })],
    },
    found: ['vrf', 'warning', /recognised by their interface.*cali1 \(red\)/, /ClusterCIDR/],
  },
  {
    what: 'programs that do not answer out of a VRF',
    facts: {
      ...sysctl('net/ipv4/tcp_l3mdev_accept', '0'),
      links: [aLink('eth0'), aLink('red', 'vrf'), aLink('eth1', '', { master: 'red' })],
    },
    found: ['vrf', 'warning', /do not answer connections out of a VRF: eth1/, /tcp_l3mdev_accept=1$/],
  },
  {
    what: 'a way for neighbours to 127.0.0.1',
    facts: sysctl('net/ipv4/conf/all/route_localnet', '1'),
    found: ['route-localnet', 'warning', /neighbours reach what listens on 127\.0\.0\.1/, /route_localnet=0/],
  },
  {
    what: 'an agent that serves pods itself',
    facts: { processes: ['nsx-node-agent'] },
    found: ['other-proxies', 'warning', /NSX-T \(for pods\) may serve Services/, /only one/],
  },
  {
    what: 'a kube-proxy beside us',
    facts: { processes: ['kube-proxy'] },
    found: ['other-proxies', 'error', /kube-proxy runs on this node/, /end it/],
  },
  {
    what: 'remains of a kube-proxy',
    facts: { iptables: { nft: `${SAVED}*nat\n:KUBE-SVC-ABC - [0:0]\n`, legacy: '' } },
    found: ['other-proxies', 'warning', /former kube-proxy are in iptables \(nft\)/, /--cleanup/],
  },
  {
    what: 'software that serves Services itself',
    facts: { links: [...HEALTHY.links, aLink('ovn-k8s-mp0')] },
    found: ['other-proxies', 'warning', /OVN-Kubernetes may serve Services/, /only one/],
  },
  {
    what: 'rules in the other variant of iptables',
    facts: { iptables: { nft: SAVED, legacy: '*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n' } },
    found: [
      'iptables-variant',
      'warning',
      /left in iptables \(legacy\)/,
      /--cleanup --iptables-variant=legacy/,
    ],
  },
  {
    what: 'the wrong variant of iptables',
    facts: settings({ iptablesVariant: 'legacy' }),
    found: ['iptables-variant', 'error', /kubelet uses iptables \(nft\), and legacy is configured/, /auto/],
  },
  {
    what: 'somebody who takes all packets first',
    facts: { iptables: { nft: SAVED.replace('-A OUTPUT', '-A OUTPUT -j ACCEPT\n-A OUTPUT'), legacy: '' } },
    found: [
      'jump-order',
      'error',
      /nat OUTPUT \(nft\) ends before it gets to KUBE-SERVICES: -A OUTPUT -j ACCEPT/,
      /delete/,
    ],
  },
  {
    what: 'a routing rule on our mark',
    facts: { ipRules: [{ priority: 100, mark: 0x4000, mask: 0x4000 }] },
    found: ['marks', 'warning', /ip rule 100 routes by mark 0x4000/, /masquerade-bit/],
  },
  {
    what: 'somebody who clears all marks',
    facts: { iptables: { nft: `${SAVED}-A POSTROUTING -j MARK --set-mark 0x0\n`, legacy: '' } },
    found: ['marks', 'warning', /somebody else writes our mark bit: -A POSTROUTING/, /masquerade-bit/],
  },
  {
    what: 'connection tracking full',
    facts: sysctl('net/netfilter/nf_conntrack_count', '262000'),
    found: ['conntrack', 'error', /262000 of 262144.*about to be dropped/, /conntrack\.min/],
  },
  {
    what: 'a clock that was never set',
    facts: { nowMs: 0 },
    found: ['clock', 'error', /1970-01-01/, /chrony/],
  },
  {
    what: 'a clock that differs from the API server',
    facts: api({ clockAheadMs: -300_000 }),
    found: ['clock', 'error', /300 s behind/, /chrony/],
  },
  {
    what: 'an API server out of reach',
    facts: api({ unreachable: 'Cannot get /version: connection refused' }),
    found: ['api-server', 'error', /connection refused/, /kubeconfig/],
  },
  {
    what: 'missing permissions',
    facts: api({ forbidden: ['list services'] }),
    found: ['api-server', 'error', /not allowed: list services/, /ClusterRole/],
  },
]

describe('examine()', () => {
  test('finds nothing on a healthy node, and says what it looked at', () => {
    const findings = examine(HEALTHY)
    expect(findings.filter(({ level }) => level !== 'ok')).toEqual([])
    expect(findings.map(({ check }) => check)).toEqual(CHECKS.map(({ name }) => name))
  })

  test.each([
    ['no rule translates it', saved('-A POSTROUTING -s 10.244.0.0/16 -j MASQUERADE --random-fully')],
    ['the tunnel computes its checksums', { checksumOffload: new Map([['flannel.1', false]]) }],
    [
      'its outer packets have checksums',
      { links: [aLink('t', 'vxlan', { mtu: 1450, outerChecksum: true })] },
    ],
    ['the kernel keeps them', { kernelRelease: '5.15.0' }],
    ['the tunnel is down', { links: [aLink('t', 'vxlan', { mtu: 1450, up: false })] }],
  ])('finds no wrong checksums where %s', (_, facts) => {
    const leaking = saved('-A KUBE-POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE')
    const findings = examine({ ...HEALTHY, ...OLD_TUNNEL, ...leaking, ...facts })
    expect(findings.filter(({ check }) => check === 'checksum')).toMatchObject([{ level: 'ok' }])
  })

  test.each(BROKEN)('names the cause and the remedy of $what', ({ facts, found }) => {
    const [check, level, text, remedy] = found
    const findings = examine({ ...HEALTHY, ...facts })
    expect(findings.filter((finding) => finding.check === check)).toEqual([
      { check, level, what: expect.stringMatching(text), remedy: expect.stringMatching(remedy) },
    ])
  })

  test('at the start of the proxy leaves out what needs all rules or the API server', () => {
    const left = CHECKS.filter((check) => !START_CHECKS.includes(check)).map(({ name }) => name)
    expect(left).toEqual(['checksum', 'route-localnet', 'other-proxies', 'jump-order', 'api-server'])
    expect(examine(HEALTHY, START_CHECKS)).toHaveLength(START_CHECKS.length)
  })

  test('does not ask for forwarding of IPv6 in a cluster of IPv4', () => {
    const facts = { ...HEALTHY, ...sysctl('net/ipv6/conf/all/forwarding', '0') }
    expect(examine(facts).filter(({ level }) => level !== 'ok')).toEqual([])
  })

  test('takes a guarded way to 127.0.0.1 and tunnels that are down for what they are', () => {
    const guard = '-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "x" -j DROP\n'
    const facts = {
      ...sysctl('net/ipv4/conf/all/route_localnet', '1'),
      iptables: { nft: `${SAVED}${guard}`, legacy: '' },
      links: [...HEALTHY.links, aLink('tunl0', 'ipip', { up: false })],
    }
    expect(examine({ ...HEALTHY, ...facts }).filter(({ level }) => level !== 'ok')).toEqual([])
  })

  test('every check has a broken node that it finds', () => {
    expect(new Set(BROKEN.map(({ found }) => found[0]))).toEqual(new Set(CHECKS.map(({ name }) => name)))
  })

  test('promiscuous bridges do what hairpin would', () => {
    const links = [aLink('cni0', 'bridge', { promiscuous: true }), aLink('veth1', 'veth', { master: 'cni0' })]
    expect(examine({ ...HEALTHY, links }).find(({ check }) => check === 'hairpin')?.level).toBe('ok')
  })
})

test.each([
  ['cali1a2b', 'veth', undefined, 'InterfaceNamePrefix --pod-interface-name-prefix=cali'],
  ['lxc1234', 'veth', undefined, 'prefix=lxc'],
  ['eni0', 'veth', undefined, 'prefix=eni'],
  ['antrea-gw0', '', undefined, 'BridgeInterface --pod-bridge-interface=antrea-gw0'],
  ['kube-bridge', 'bridge', undefined, 'pod-bridge-interface=kube-bridge'],
  ['ipvl0', 'ipvlan', undefined, 'ClusterCIDR'],
  ['veth7', 'veth', undefined, 'prefix=veth'],
] as const)('dataPathOf() knows %s', (name, kind, master, flags) => {
  expect(dataPathOf([aLink('eth0'), aLink(name, kind, { master })])?.flags).toContain(flags)
})

test('dataPathOf() knows a bridge of any name by its ports, and nothing where there is nothing', () => {
  const links = [aLink('br7', 'bridge'), aLink('p1', 'veth', { master: 'br7' })]
  expect(dataPathOf(links)?.flags).toContain('--pod-bridge-interface=br7')
  expect(dataPathOf([aLink('eth0'), aLink('docker0', 'bridge')])).toBeUndefined()
})

describe('parse-facts', () => {
  test('linkFacts() reads what ip prints', () => {
    const text = JSON.stringify([
      { ifname: 'br', mtu: 1450, flags: ['UP', 'PROMISC'], linkinfo: { info_kind: 'bridge' } },
      {
        ifname: 'v',
        flags: [],
        link: 'eth0',
        master: 'br',
        linkinfo: { info_kind: 'veth', info_slave_data: { hairpin: true } },
      },
    ])
    expect(linkFacts(text)).toEqual([
      aLink('br', 'bridge', { promiscuous: true, mtu: 1450 }),
      aLink('v', 'veth', { master: 'br', hairpin: true, lower: 'eth0', up: false, mtu: 0 }),
    ])
    expect(linkFacts('')).toEqual([])
    expect(linkFacts('no JSON')).toEqual([])
  })

  test('underlayOf() takes the first default route', () => {
    expect(underlayOf('[{"dst":"default","dev":"eth0"},{"dst":"default","dev":"eth1"}]')).toBe('eth0')
    expect(underlayOf('[ ]')).toBeUndefined()
  })

  test('sysctlFacts() reads what grep prints', () => {
    const text = '/proc/sys/net/ipv4/ip_forward:1\n/proc/sys/net/ipv4/conf/eth0.7/rp_filter:2\n'
    expect([...sysctlFacts(text)]).toEqual([
      ['net/ipv4/ip_forward', '1'],
      ['net/ipv4/conf/eth0.7/rp_filter', '2'],
    ])
  })

  test('ruleFacts() reads marks with and without mask', () => {
    const text =
      '[{"priority":0},{"priority":9,"fwmark":"0x4000","fwmask":"0xf000"},{"priority":10,"fwmark":"0x1"}]'
    expect(ruleFacts(text)).toEqual([
      { priority: 9, mark: 0x4000, mask: 0xf000 },
      { priority: 10, mark: 1, mask: 0xffffffff },
    ])
  })

  test('versionLine() takes the line with the number', () => {
    expect(versionLine('Copyright\nnft v1.0.6\n')).toBe('nft v1.0.6')
    expect(versionLine('')).toBeUndefined()
  })
})
