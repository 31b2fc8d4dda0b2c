import { atOnce } from '../../../../src/collections/sliced.ts'
import { observedJumps, observedObjects } from '../../../../src/backends/iptables/observe.ts'
import { IptablesPlanner } from '../../../../src/backends/iptables/plan.ts'
import { restoreText } from '../../../../src/backends/iptables/script.ts'
import { driftIn } from '../../../../src/backends/iptables/jump-probe.ts'
import { diffState, emptyState } from '../../../../src/netfilter/kernel-state.ts'
import { iptablesOptions, wholeCluster } from '../../../support/iptables-cluster.ts'

const NO_GUARD = { expectsGuard: false }
const PORTALS = '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'

function saved(table: string, ...lines: readonly string[]): string {
  return [`*${table}`, ...lines, 'COMMIT', ''].join('\n')
}

/** What a kernel shows that has taken the script: chains, and inserted rules first. */
function afterScript(script: string): string {
  return script
    .split('COMMIT\n')
    .map((block) => {
      const chains = new Set(block.match(/(?<=^(?::|-N ))\S+/gm))
      for (const [, name = ''] of block.matchAll(/^-I (\S+)/gm)) chains.add(name)
      const inserted = (block.match(/^-I .*$/gm) ?? [])
        .reverse()
        .map((line) => line.replace(/^-I (\S+) 1/, '-A $1'))
      const [table = ''] = block.split('\n')
      return [
        table,
        ...[...chains].map((name) => `:${name} - [0:0]`),
        ...inserted,
        ...(block.match(/^-A .*$/gm) ?? []),
      ]
    })
    .flatMap((lines) => (lines[0] === '' ? [] : [...lines, 'COMMIT', '']))
    .join('\n')
}

test('observedObjects() finds everything that a plan wrote, with equal texts', () => {
  const state = new IptablesPlanner(iptablesOptions('IPv4'), 'none').plan(wholeCluster('IPv4'))
  const text = afterScript(atOnce(restoreText(diffState(state, emptyState()))))
  const seen = new Map(
    atOnce(observedObjects(text, { expectsGuard: true })).map((object) => [object.key, object.text]),
  )
  for (const fragment of state.values())
    for (const object of fragment.values())
      if (object.kind !== 'sysctl')
        expect([object.key, seen.get(object.key)]).toEqual([object.key, object.text])
})

test('observedObjects() takes over the chains of a kube-proxy, unless others lead to them', () => {
  const text = saved(
    'nat',
    ':OTHER - [0:0]',
    ':KUBE-SVC-ABCDEFGHIJKLMNOP - [0:0]',
    ':KUBE-SEP-ABCDEFGHIJKLMNOP - [0:0]',
    ':KUBE-SVC-SHORT - [0:0]',
    '-A OTHER -j KUBE-SEP-ABCDEFGHIJKLMNOP',
  )
  expect(atOnce(observedObjects(text, NO_GUARD)).map(({ key }) => key)).toEqual([
    'nat/KUBE-SVC-ABCDEFGHIJKLMNOP',
  ])
})

test("atOnce(observedObjects()) never claims kubelet's chains", () => {
  const text =
    saved('mangle', ':KUBE-IPTABLES-HINT - [0:0]', ':KUBE-KUBELET-CANARY - [0:0]') +
    saved('filter', ':KUBE-FIREWALL - [0:0]', '-A KUBE-FIREWALL -j DROP')
  expect(atOnce(observedObjects(text, NO_GUARD)).map(({ kind, key }) => `${kind} ${key}`)).toEqual([
    'shared-chain filter/KUBE-FIREWALL exists',
  ])
})

test.each([
  { name: 'alone', before: [], want: 'in place' },
  { name: 'behind a CNI', before: ['-A PREROUTING -j CNI'], want: 'in place' },
  { name: 'behind a rule with a condition', before: ['-A PREROUTING -p tcp -j ACCEPT'], want: 'in place' },
  { name: 'behind an end', before: ['-A PREROUTING -j ACCEPT'], want: 'behind "-j ACCEPT"' },
  {
    name: 'behind a commented end',
    before: ['-A PREROUTING -m comment --comment "all to me" -j DNAT --to-destination 10.0.0.1'],
    want: 'behind "-m comment --comment "all to me" -j DNAT --to-destination 10.0.0.1"',
  },
])('observedObjects() judges a jump $name', ({ before, want }) => {
  const text = saved('nat', ':PREROUTING ACCEPT [0:0]', ...before, `-A PREROUTING ${PORTALS}`)
  expect(atOnce(observedObjects(text, NO_GUARD))).toEqual([
    expect.objectContaining({ chain: 'PREROUTING', text: want }),
  ])
})

test('observedObjects() recognises a jump whatever the order of its parts', () => {
  const rule =
    '-m comment --comment "kubernetes load balancer firewall" -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL'
  const text = saved('filter', ':INPUT ACCEPT [0:0]', `-A INPUT ${rule}`)
  expect(atOnce(observedObjects(text, NO_GUARD))).toHaveLength(1)
})

test('observedObjects() does not take a jump with another comment for ours', () => {
  const text = saved('nat', ':OUTPUT ACCEPT [0:0]', '-A OUTPUT -m comment --comment "mine" -j KUBE-SERVICES')
  expect(atOnce(observedObjects(text, NO_GUARD))).toEqual([])
})

test('observedJumps() finds every copy, as it is written, and leaves KUBE-FIREWALL alone', () => {
  const text = saved(
    'filter',
    ':INPUT ACCEPT [0:0]',
    ':FORWARD ACCEPT [0:0]',
    '-A INPUT -j KUBE-FIREWALL',
    `-A FORWARD -m conntrack --ctstate NEW ${PORTALS}`,
    `-A FORWARD -m conntrack --ctstate NEW ${PORTALS}`,
  )
  expect(atOnce(observedJumps(text)).map(({ chain, rule }) => `${chain} ${rule}`)).toEqual([
    `FORWARD -m conntrack --ctstate NEW ${PORTALS}`,
    `FORWARD -m conntrack --ctstate NEW ${PORTALS}`,
  ])
})

const NAT = [
  ':PREROUTING ACCEPT [0:0]',
  ':INPUT ACCEPT [0:0]',
  ':OUTPUT ACCEPT [0:0]',
  ':POSTROUTING ACCEPT [0:0]',
  ':KUBE-SERVICES - [0:0]',
  `-A PREROUTING ${PORTALS}`,
  `-A OUTPUT ${PORTALS}`,
  '-A INPUT -m conntrack --ctstate DNAT -m comment --comment "where services are translated to" -j FL-TRANSLATED',
  '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
  '-A KUBE-SERVICES -m comment --comment "x #0123456789abcdef" -j RETURN',
]

test.each([
  { name: 'nothing', lines: NAT, want: undefined },
  {
    name: 'a missing jump',
    lines: NAT.filter((line) => !line.startsWith('-A OUTPUT')),
    want: 'jump from nat OUTPUT to KUBE-SERVICES is missing',
  },
  {
    name: 'an added rule',
    lines: [...NAT, '-A KUBE-SERVICES -j RETURN'],
    want: 'chain nat KUBE-SERVICES holds other rules',
  },
  {
    name: 'a vanished chain',
    lines: NAT.filter((line) => !line.includes(' KUBE-SERVICES -m')).filter(
      (line) => !line.startsWith(':KUBE'),
    ),
    want: 'chain nat KUBE-SERVICES holds other rules',
  },
])('driftIn() tells $name', ({ lines, want }) => {
  expect(driftIn(saved('nat', ...lines), 'nat', '0123456789abcdef 1')?.what).toBe(want)
})

test('observedObjects() takes over the rules of IPVS modes with every copy of the jumps to them', () => {
  const text = saved(
    'filter',
    ':INPUT ACCEPT [0:0]',
    ':KUBE-NODE-PORT - [0:0]',
    ':KUBE-IPVS-FILTER - [0:0]',
    '-A INPUT -m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT',
    '-A INPUT -m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT',
    '-A INPUT -s 10.0.0.1/32 -j KUBE-IPVS-FILTER',
  )
  const jump = 'filter/INPUT -m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT'
  expect(atOnce(observedObjects(text, NO_GUARD)).map(({ key }) => key)).toEqual([
    'filter/KUBE-NODE-PORT',
    jump,
    `${jump} #2`,
  ])
})
