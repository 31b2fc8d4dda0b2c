import { atOnce } from '../../../../src/collections/sliced.ts'
import { ExcludedServers } from '../../../../src/backends/ipvs/excluded-servers.ts'
import { allSets, JUMPS } from '../../../../src/backends/ipvs/names.ts'
import {
  observedRules,
  observedSets,
  type OwnershipRecord,
  ownership,
  ownServers,
  recordedElements,
} from '../../../../src/backends/ipvs/observe.ts'
import { setElement } from '../../../../src/netfilter/ipset/ipset.ts'
import { localRoute } from '../../../../src/netfilter/ipvs/local-route.ts'
import { virtualServer } from '../../../../src/netfilter/ipvs/virtual-server.ts'
import type { Cidr } from '../../../../src/net/cidr.ts'
import { anIp } from '../../../support/forwarding-builder.ts'

const MARK = 0x60000001

const RECORD: OwnershipRecord = {
  family: 'IPv4',
  elements: [],
  routes: [],
  nodeIps: new Set(),
  planned: new Set(),
}

describe('ownership()', () => {
  test.each([
    ['an address that we made local', { routes: [localRoute(anIp('172.30.0.1'), undefined)] }],
    ['an address of kube-proxy’s record', { elements: [setElement('KUBE-IPVS-IPS', '172.30.0.1')] }],
    ['an address and port of a Service', { elements: [setElement('KUBE-CLUSTER-IP', '172.30.0.1,tcp:80')] }],
    ['what the last plan had', { planned: new Set(['-t 172.30.0.1:80']) }],
  ] as const)('claims %s', (_, record) => {
    expect(ownership({ ...RECORD, ...record })('-t 172.30.0.1:80')).toBe(true)
  })

  test('claims node ports on the node’s addresses, and on those that it had', () => {
    const elements = [setElement('KUBE-NODE-PORT-TCP', '30080'), setElement('FL-NODE-IPS', '10.1.1.1')]
    const isOurs = ownership({ ...RECORD, elements, nodeIps: new Set([anIp('192.168.0.2')]) })
    expect(['192.168.0.2:30080', '10.1.1.1:30080'].map((where) => isOurs(`-t ${where}`))).toEqual([
      true,
      true,
    ])
    expect(isOurs('-t 192.168.0.3:30080')).toBe(false)
    expect(isOurs('-t 192.168.0.2:30081')).toBe(false)
    expect(isOurs('-u 192.168.0.2:30080')).toBe(false)
  })

  test('claims marks that our sets give out', () => {
    const elements = [setElement('FL-MARK-POD', '172.30.0.1,tcp:80', 'skbmark 0x60000001')]
    const isOurs = ownership({ ...RECORD, elements })
    expect(isOurs(`-f ${MARK}`)).toBe(true)
    expect(isOurs('-f 7')).toBe(false)
    expect(isOurs(`-f ${MARK} -6`)).toBe(false)
  })

  test('leaves everything else to others', () => {
    const elements = [setElement('KUBE-IPVS-IPS', '172.30.0.1')]
    const isOurs = ownership({ ...RECORD, elements })
    expect(['-t 10.9.9.9:80', '-t [fd00::1]:80', '-f 1', 'nonsense'].map(isOurs)).toEqual([
      false,
      false,
      false,
      false,
    ])
  })
})

describe('ExcludedServers', () => {
  const mine = '-t 172.30.0.1:80'
  const theirs = '-t 172.30.0.9:80'
  const make = () => new ExcludedServers(['172.30.0.0/16' as Cidr])

  test('covers addresses in its networks, and no marks', () => {
    expect([mine, '-t 10.0.0.1:80', '-f 3'].map((selector) => make().covers(selector))).toEqual([
      true,
      false,
      false,
    ])
  })

  test('trusts the record once, and then only what we have added', () => {
    const excluded = make()
    excluded.observe([mine, theirs], (selector) => selector === mine)
    expect([mine, theirs].map((selector) => excluded.isForeign(selector))).toEqual([false, true])
    excluded.observe([mine, theirs], () => true)
    expect(excluded.isForeign(theirs)).toBe(true)
  })

  test('claims what is free and says which line is not', () => {
    const excluded = make()
    excluded.observe([theirs], () => false)
    expect(excluded.claim(`-A ${mine} -s rr\n`)).toBeUndefined()
    excluded.observe([mine, theirs], () => false)
    expect(excluded.isForeign(mine)).toBe(false)
    expect(excluded.claim(`-E ${mine} -s rr\n-A ${theirs} -s rr\n`)).toBe(2)
  })
})

test('ownServers() keeps a virtual server together with its real servers', () => {
  const mine = virtualServer('-t 172.30.0.1:80', { scheduler: 'rr', persistentSeconds: undefined })
  const theirs = virtualServer('-t 10.9.9.9:80', { scheduler: 'rr', persistentSeconds: undefined })
  expect(ownServers([mine, theirs], (selector) => selector === mine.selector)).toEqual([mine])
})

describe('observedSets()', () => {
  const kubeProxys = `create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x1
add KUBE-CLUSTER-IP 172.30.0.1,tcp:80
create KUBE-NODE-PORT-TCP bitmap:port range 0-65535
add KUBE-NODE-PORT-TCP 30080
create CALICO hash:ip family inet hashsize 1024 maxelem 65536
add CALICO 10.0.0.1
`
  test('tells a set of another shape without its elements, so that it is filled anew', () => {
    const keys = observedSets(kubeProxys, 'IPv4').map(({ key }) => key)
    expect(keys).toEqual([
      'set KUBE-CLUSTER-IP',
      'set KUBE-NODE-PORT-TCP',
      'element KUBE-NODE-PORT-TCP 30080',
    ])
    expect(observedSets(kubeProxys, 'IPv4')[0]?.text).not.toBe(allSets('IPv4')[0]?.text)
  })

  test('as a record all elements count', () => {
    expect(recordedElements(kubeProxys, 'IPv4').map(({ element }) => element)).toEqual([
      '172.30.0.1,tcp:80',
      '30080',
    ])
    expect(recordedElements(kubeProxys, 'IPv6')).toEqual([])
  })
})

describe('observedRules()', () => {
  const saved = `*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:CNI-HOSTPORT-SETMARK - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-SVC-ABCDEFGHIJKLMNOP - [0:0]
:KUBE-SEP-ABCDEFGHIJKLMNOP - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -j CNI-HOSTPORT-SETMARK
-A CNI-HOSTPORT-SETMARK -j KUBE-MARK-MASQ
-A POSTROUTING -j KUBE-SEP-ABCDEFGHIJKLMNOP
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL
COMMIT
`
  const found = atOnce(observedRules(saved)).map(({ key }) => key)

  test('finds our chains and jumps, and those of other modes and of kube-proxy', () => {
    expect(found).toEqual(
      expect.arrayContaining(['nat/KUBE-SERVICES', 'nat/KUBE-MARK-MASQ', 'nat/KUBE-SVC-ABCDEFGHIJKLMNOP']),
    )
    expect(found).toEqual(
      expect.arrayContaining(['filter/KUBE-EXTERNAL-SERVICES', 'filter/KUBE-PROXY-FIREWALL']),
    )
    expect(found).toContain(JUMPS.find(({ chain }) => chain === 'PREROUTING')?.key)
    expect(found.filter((key) => key.includes(' '))).toHaveLength(3)
  })

  test('leaves alone what belongs to others or is in their use', () => {
    expect(found.some((key) => /CNI|KUBE-FIREWALL|KUBE-SEP/.test(key))).toBe(false)
  })
})
