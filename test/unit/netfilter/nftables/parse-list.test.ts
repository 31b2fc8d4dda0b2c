import { atOnce } from '../../../../src/collections/sliced.ts'
import { parseList } from '../../../../src/netfilter/nftables/parse-list.ts'
import { aChain, anElement, commentOf } from '../../../../src/netfilter/nftables/ruleset.ts'

/** As nft 1.0.6 prints it with -n. */
const LISTED = `table ip kube-proxy {
\tmap service-ips {
\t\ttype ipv4_addr . inet_proto . inet_service : verdict
\t\telements = { 172.30.0.1 . 6 . 80 : goto pick-tcp-c5,
\t\t\t     172.30.0.2 . 6 . 80 : drop }
\t}

\tset cluster-ips {
\t\ttype ipv4_addr
\t}

\tset source-ranges {
\t\ttype ipv4_addr . inet_proto . inet_service . ipv4_addr
\t\tflags interval
\t\telements = { 172.30.0.1 . 17 . 10000-20000 . 192.168.0.0/16,
\t\t\t     172.30.0.1 . 6 . 80 . 10.0.0.1 }
\t}

\tmap affinity {
\t\ttype ipv4_addr : ipv4_addr
\t\tsize 65535
\t\tflags dynamic,timeout
\t\telements = { 10.0.0.1 timeout 3h expires 2h59m59s240ms : 10.2.0.3 }
\t}

\tchain nat-output {
\t\ttype nat hook output priority -100; policy accept;
\t\tjump services comment "Services #6b1f7a52"
\t\tct state { 0x2, 0x4 } accept
\t}

\tchain empty {
\t}
}
`

test('parseList() reads containers with their elements and chains with the comments of their rules', () => {
  const { containers, chains } = atOnce(parseList(LISTED, new Set(['affinity'])))
  expect(containers).toEqual([
    {
      kind: 'map',
      name: 'service-ips',
      elements: [
        anElement('service-ips', '172.30.0.1 . 6 . 80', 'goto pick-tcp-c5'),
        anElement('service-ips', '172.30.0.2 . 6 . 80', 'drop'),
      ],
    },
    { kind: 'set', name: 'cluster-ips', elements: [] },
    {
      kind: 'set',
      name: 'source-ranges',
      elements: [
        anElement('source-ranges', '172.30.0.1 . 17 . 10000-20000 . 192.168.0.0/16'),
        anElement('source-ranges', '172.30.0.1 . 6 . 80 . 10.0.0.1'),
      ],
    },
    { kind: 'map', name: 'affinity', elements: [] },
  ])
  expect(chains.map(({ name, text }) => [name, text])).toEqual([
    ['nat-output', 'nat output\nServices #6b1f7a52\na rule of somebody else'],
    ['empty', 'no hook'],
  ])
})

test.each([
  { text: '', containers: 0, chains: 0 },
  { text: 'table ip kube-proxy {\n}\n', containers: 0, chains: 0 },
  { text: 'table ip kube-proxy {\n\tset s {\n\t\ttype ipv4_addr\n', containers: 1, chains: 0 },
])('parseList() reads $text without complaint', ({ text, containers, chains }) => {
  const table = atOnce(parseList(text))
  expect([table.containers.length, table.chains.length]).toEqual([containers, chains])
})

test('parseList() gives the one spelling to IPv6 addresses that have two', () => {
  const text =
    'table ip6 t {\n\tset s {\n\t\telements = { ::10.0.0.1 . 6 . 80, ::1.2.3.0/120,\n\t\t\tfd00::1 . 6 . 80 }\n\t}\n}\n'
  const keys = atOnce(parseList(text)).containers.flatMap(({ elements }) => elements.map(({ key }) => key))
  expect(keys).toEqual(['s ::a00:1 . 6 . 80', 's ::102:300/120', 's fd00::1 . 6 . 80'])
})

test('parseList() reads numbers that nft prints as handles of traffic control', () => {
  const text =
    'table ip t {\n\tmap s {\n\t\telements = { 172.30.0.1 . 80 . none : 10.0.0.1,\n\t\t\t172.30.0.1 . 80 . 0:1f : 10.0.0.2,\n\t\t\tfd00::1 . 80 . 0:8001 : 8080, 6 . 80 : efcd:ab89, 6 . 81 : root, 6 . 82 : none }\n\t}\n}\n'
  const elements = atOnce(parseList(text)).containers.flatMap((container) => container.elements)
  expect(elements).toEqual([
    anElement('s', '172.30.0.1 . 80 . 0', '10.0.0.1'),
    anElement('s', '172.30.0.1 . 80 . 31', '10.0.0.2'),
    anElement('s', 'fd00::1 . 80 . 32769', '8080'),
    anElement('s', '6 . 80', '4023233417'),
    anElement('s', '6 . 81', '4294967295'),
    anElement('s', '6 . 82', '0'),
  ])
})

test('aChain() differs from another chain when a rule, the order or the hook differs', () => {
  const [a, b] = [
    { text: 'accept', note: 'One' },
    { text: 'drop', note: 'Two' },
  ]
  const hook = { type: 'nat', hook: 'output', priority: -100 } as const
  const texts = [[a], [b], [a, b], [b, a], []].map((rules) => aChain('c', rules).text)
  texts.push(aChain('c', [a], hook).text)
  expect(new Set(texts).size).toBe(texts.length)
  expect(commentOf(a)).not.toBe(commentOf({ ...a, text: 'reject' }))
})
