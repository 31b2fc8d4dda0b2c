import { changed, clusterIp, endpointIp } from '../../../bench/cluster.ts'
import { oneChange, withoutRules } from '../../../bench/floor.ts'
import { chainHash, kubeProxyIptables, kubeProxyNftables } from '../../../bench/layouts.ts'

// Of kube-proxy 1.36.
test.each([
  { text: 'ns1/svc1:p80tcp', hash: 'XPGD46QRK7WJZT7O' },
  { text: 'default/kubernetes:httpstcp', hash: 'NPX46M4PTMTKRN6Y' },
  { text: 'ns1/svc1:p80tcp10.180.0.1:80', hash: 'SXIVWICOYRO3J4NJ' },
])('chainHash() of $text is $hash, as kube-proxy names its chains', ({ text, hash }) => {
  expect(chainHash(text)).toBe(hash)
})

const size = { services: 20, endpoints: 3 }
/** 20 TCP ports, and three more on each of the three probed Services. */
const PORTS = 20 + 3 * 3

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0
}

test('kubeProxyIptables() has a chain per service port and per endpoint, and a linear list', () => {
  const { all } = kubeProxyIptables(size)
  expect(count(all, /^:KUBE-SVC-/gm)).toBe(PORTS)
  expect(count(all, /^:KUBE-SEP-/gm)).toBe(PORTS * 3)
  expect(count(all, /^-A KUBE-SERVICES .* -j KUBE-SVC-/gm)).toBe(PORTS)
  expect(count(all, /-j DNAT --to-destination/g)).toBe(PORTS * 3)
  expect(all).toContain(`-d ${clusterIp(7)} --dport 80 -j KUBE-SVC-`)
  expect(count(all, /--probability 0\.3333333333/g)).toBe(PORTS)
  expect(count(all, /--probability 0\.5000000000/g)).toBe(PORTS)
})

test('kubeProxyIptables() changes one Service by writing the linear list again', () => {
  const { change } = kubeProxyIptables(size)
  expect(count(change, /^-A KUBE-SERVICES .* -j KUBE-SVC-/gm)).toBe(PORTS)
  expect(count(change, /^:KUBE-SVC-/gm)).toBe(1)
  expect(count(change, /^:KUBE-SEP-/gm)).toBe(3)
  const service = changed(size).last
  expect(change).not.toContain(`${endpointIp(size, service, 0)}:8080`)
  expect(change).toContain(`${endpointIp(size, service, 1)}:8080`)
})

test('kubeProxyNftables() has a chain and a map entry per service port', () => {
  const { all, change } = kubeProxyNftables(size)
  expect(count(all, /^add chain ip kube-proxy service-/gm)).toBe(PORTS)
  expect(count(all, /^add element ip kube-proxy service-ips /gm)).toBe(PORTS)
  expect(count(all, /^add element ip kube-proxy cluster-ips /gm)).toBe(20)
  expect(count(all, /numgen random mod 3 map \{ 0 : 10\.\d+\.\d+\.\d+ \. \d+, 1 :/g)).toBe(PORTS)
  expect(change.trim().split('\n')).toHaveLength(2)
})

test('withoutRules() keeps maps, elements and hooks, and leaves chains empty', () => {
  const text = [
    'table ip kube-proxy {',
    '\tmap services {',
    '\t\ttype ipv4_addr . inet_proto . inet_service : verdict',
    '\t\telements = { 172.30.0.1 . 6 . 80 : goto n5 }',
    '\t}',
    '',
    '\tchain nat-prerouting {',
    '\t\ttype nat hook prerouting priority -100; policy accept;',
    '\t\tjump services',
    '\t}',
    '\tchain n5 {',
    '\t\tdnat ip to 10.0.0.1',
    '\t}',
    '}',
  ]
  const want = text.filter((line) => !line.includes('jump services') && !line.includes('dnat ip to'))
  expect(withoutRules(text.join('\n'))).toBe(want.join('\n'))
})

test.each([
  {
    mode: 'iptables-legacy' as const,
    text: '*nat\n:A - [0:0]\n:B - [0:0]\n-A A -j DNAT --to-destination 10.0.0.1:80\n-A B -j A\n-A A -j RETURN\nCOMMIT\n',
    want: '*nat\n:A - [0:0]\n-A A -j DNAT --to-destination 10.0.0.1:80\n-A A -j RETURN\nCOMMIT\n',
  },
  {
    mode: 'nftables' as const,
    text: 'table ip kube-proxy {\n\tmap small {\n\t\telements = { 1 : 2 }\n\t}\n\n\tmap ends {\n\t\telements = { 172.30.0.1 . 80 . 0 : 10.0.0.1 . 80,\n\t\t\t     172.30.0.1 . 80 . 1 : 10.0.0.2 . 80 }\n\t}\n}\n',
    want: 'delete element ip kube-proxy ends { 172.30.0.1 . 80 . 1 }\nadd element ip kube-proxy ends { 172.30.0.1 . 80 . 1 : 10.0.0.2 . 80 }\n',
  },
  {
    mode: 'ipvs' as const,
    text: '-A -t 172.30.0.1:80 -s rr\n-a -t 172.30.0.1:80 -r 10.0.0.1:8080 -m -w 1\n',
    want: '-d -t 172.30.0.1:80 -r 10.0.0.1:8080\n-a -t 172.30.0.1:80 -r 10.0.0.1:8080 -m -w 1\n',
  },
])('oneChange() in mode $mode puts one object anew', ({ mode, text, want }) => {
  expect(oneChange(text, mode)).toBe(want)
})

test('oneChange() of a text without endpoints is nothing', () => {
  for (const mode of ['iptables-nft', 'nftables', 'ipvs'] as const) expect(oneChange('', mode)).toBe('')
})
