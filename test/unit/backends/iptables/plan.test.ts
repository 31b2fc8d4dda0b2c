import fc from 'fast-check'
import type { LocalDetector } from '../../../../src/backends/backend.ts'
import { hashIn } from '../../../../src/backends/iptables/names.ts'
import type { BackendObject, SetSupport } from '../../../../src/backends/iptables/objects.ts'
import { IptablesPlanner } from '../../../../src/backends/iptables/plan.ts'
import type { Forwarding, NodeForwarding } from '../../../../src/forwarding/forwarding.ts'
import { type KernelState, diffState, isEmpty } from '../../../../src/netfilter/kernel-state.ts'
import { parseCidr } from '../../../../src/net/cidr.ts'
import {
  DROP,
  FORWARD,
  FORWARD_LOCAL,
  FORWARD_MASQUERADED,
  LOCAL_ROUTES,
  type PortBuilder,
  REJECT,
  aForwarding,
  aPort,
  anIp,
  everyOrigin,
} from '../../../support/forwarding-builder.ts'
import {
  iptablesOptions,
  oneOfEachKind,
  plainServices,
  wholeCluster,
} from '../../../support/iptables-cluster.ts'

interface PlanChoices {
  readonly detector?: LocalDetector | undefined
  readonly sets?: SetSupport
  readonly node?: Partial<NodeForwarding>
}

function plannerOf(forwarding: Pick<Forwarding, 'family'>, choices: PlanChoices = {}): IptablesPlanner {
  const options = iptablesOptions(forwarding.family)
  const detector = 'detector' in choices ? choices.detector : options.detector
  return new IptablesPlanner({ ...options, detector }, choices.sets ?? 'ipset')
}

/** The rules of all chains of a table that are about Services, `chain: rule`, with short names for hashes. */
function rulesOf(
  table: 'nat' | 'filter',
  ports: readonly PortBuilder[],
  choices: PlanChoices = {},
): string[] {
  const family = ports[0]!.build().family
  const forwarding = aForwarding(ports, choices.node ?? {}, family)
  const state = plannerOf(forwarding, choices).plan(forwarding)
  const names = new Map<string, string>()
  const short = (text: string) =>
    text
      .replaceAll(/FL-A[46]-[A-Z2-7]{16}/g, 'SET')
      .replaceAll(/FL-([A-Z0-9]+)-[A-Z2-7]{16}/g, (name, kind: string) => {
        if (!names.has(name))
          names.set(name, `${kind}${[...names.keys()].filter((n) => n.startsWith(`FL-${kind}-`)).length + 1}`)
        return names.get(name)!
      })
  const fixed = /^KUBE-(POSTROUTING|MARK-MASQ|FORWARD|EXTERNAL-SERVICES)$|^FL-(INVALID|TRANSLATED|REJECT)$/
  return objectsOf(state)
    .filter((object) => object.kind === 'chain')
    .filter(
      (chain) =>
        chain.table === table &&
        !fixed.test(chain.name) &&
        !(table === 'filter' && chain.name === 'KUBE-SERVICES'),
    )
    .sort((a, b) => rank(a.name) - rank(b.name))
    .flatMap((chain) => (chain.rules ?? []).map((rule) => short(`${chain.name}: ${bare(rule)}`)))
    .filter((line) => !line.includes('--dst-type LOCAL') || choices.node !== undefined)
}

function rank(name: string): number {
  const first = ['KUBE-SERVICES', 'KUBE-NODEPORTS', 'FL-UNANSWERED', 'FL-UNANSWERED-NODEPORTS'].indexOf(name)
  return first < 0 ? 9 : first
}

function bare(rule: string): string {
  return rule.replace(/^-m comment --comment "[^"]*" /, '')
}

function objectsOf(state: KernelState<BackendObject>): BackendObject[] {
  return [...state.values()].flatMap((fragment) => [...fragment.values()])
}

const web = () => aPort('ns/web')

test('plan() gives a ClusterIP one rule and one chain, which marks who is not a pod', () => {
  const port = web().clusterIp('172.30.0.1').endpoints('10.0.0.1:8080', '10.0.0.2:8080')
  expect(rulesOf('nat', [port])).toEqual([
    'KUBE-SERVICES: -d 172.30.0.1/32 -p tcp -m tcp --dport 80 -g C1',
    'C1: ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ',
    'C1: -m statistic --mode random --probability 0.50000000000 -p tcp -j DNAT --to-destination 10.0.0.1:8080',
    'C1: -p tcp -j DNAT --to-destination 10.0.0.2:8080',
  ])
})

test('plan() without a detector marks nobody unless the route says so', () => {
  const port = web()
    .clusterIp('172.30.0.1', 80, { routes: everyOrigin(FORWARD) })
    .endpoints('10.0.0.1:8080')
  expect(rulesOf('nat', [port], { detector: undefined })).toEqual([
    'KUBE-SERVICES: -d 172.30.0.1/32 -p tcp -m tcp --dport 80 -g C1',
    'C1: -p tcp -j DNAT --to-destination 10.0.0.1:8080',
  ])
})

test('plan() marks everybody in the pool when every frontend masquerades everybody', () => {
  const port = web().nodePort(30080).externalIp('192.0.2.1').endpoints('10.0.0.1:80')
  expect(rulesOf('nat', [port])).toEqual([
    'KUBE-SERVICES: -d 192.0.2.1/32 -p tcp -m tcp --dport 80 -g C1',
    'KUBE-NODEPORTS: -p tcp -m tcp --dport 30080 -g C1',
    'C1: -j KUBE-MARK-MASQ',
    'C1: -p tcp -j DNAT --to-destination 10.0.0.1:80',
  ])
})

test('plan() marks pods before the pool where only one frontend wants that', () => {
  const port = web().clusterIp('172.30.0.1').nodePort(30080).endpoints('10.0.0.1:80')
  expect(rulesOf('nat', [port])).toEqual([
    'KUBE-SERVICES: -d 172.30.0.1/32 -p tcp -m tcp --dport 80 -g C1',
    'KUBE-NODEPORTS: -p tcp -m tcp --dport 30080 -s 10.0.0.0/8 -j KUBE-MARK-MASQ',
    'KUBE-NODEPORTS: -p tcp -m tcp --dport 30080 -g C1',
    'C1: ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ',
    'C1: -p tcp -j DNAT --to-destination 10.0.0.1:80',
  ])
})

test('plan() sends pods and the node around policy Local, and keeps the source of everybody else', () => {
  const port = web()
    .externalIp('192.0.2.1', 80, { routes: LOCAL_ROUTES })
    .endpoints('10.0.0.1:80*', '10.0.0.2:80')
  const at = 'KUBE-SERVICES: -d 192.0.2.1/32 -p tcp -m tcp --dport 80'
  expect(rulesOf('nat', [port]).filter((line) => line.startsWith('KUBE'))).toEqual([
    `${at} -s 10.0.0.0/8 -g C1`,
    `${at} -m addrtype --src-type LOCAL -g C1`,
    `${at} -g L1`,
  ])
  expect(rulesOf('nat', [port]).filter((line) => line.includes('KUBE-MARK-MASQ'))).toEqual([
    'E1: -s 10.0.0.1/32 -j KUBE-MARK-MASQ',
    'C1: ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ',
  ])
})

test.each<{ name: string; detector: LocalDetector; match: string }>([
  { name: 'an interface', detector: { by: 'interface', name: 'cni0' }, match: '-i cni0' },
  { name: 'a prefix', detector: { by: 'interface-prefix', prefix: 'veth' }, match: '-i veth+' },
  { name: 'a source', detector: { by: 'source', cidr: parseCidr('10.1.0.0/16')! }, match: '-s 10.1.0.0/16' },
])('plan() recognises pods by $name', ({ detector, match }) => {
  const port = web().clusterIp('172.30.0.1').endpoints('10.0.0.1:80')
  expect(rulesOf('nat', [port], { detector })).toContain(`C1: ! ${match} -j KUBE-MARK-MASQ`)
})

test('plan() gives a local endpoint a chain that masquerades it towards itself', () => {
  const port = web().clusterIp('172.30.0.1').endpoints('10.0.0.1:80*')
  expect(rulesOf('nat', [port]).slice(1)).toEqual([
    'E1: -s 10.0.0.1/32 -j KUBE-MARK-MASQ',
    'E1: -p tcp -j DNAT --to-destination 10.0.0.1:80',
    'C1: ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ',
    'C1: -g E1',
  ])
})

test('plan() refuses by address in filter, for all who are not forwarded', () => {
  const none = web().clusterIp('172.30.0.1', 80, { routes: everyOrigin(REJECT) })
  const noLocal = web()
    .clusterIp('172.30.0.2', 80, { routes: { pod: FORWARD, node: FORWARD_MASQUERADED, external: DROP } })
    .endpoints('10.0.0.1:80')
    .with({ key: 'ns/other:/TCP' as never })
  expect(rulesOf('filter', [none, noLocal])).toEqual([
    'FL-UNANSWERED: -d 172.30.0.1/32 -p tcp -m tcp --dport 80 -j FL-REJECT',
    'FL-UNANSWERED: -d 172.30.0.2/32 -p tcp -m tcp --dport 80 -j DROP',
  ])
})

test('plan() tells senders apart in filter where they are refused differently', () => {
  const routes = { pod: REJECT, node: FORWARD_LOCAL, external: DROP }
  const port = web().externalIp('192.0.2.1', 80, { routes }).endpoints('10.0.0.1:80*')
  const at = 'FL-UNANSWERED: -d 192.0.2.1/32 -p tcp -m tcp --dport 80'
  expect(rulesOf('filter', [port])).toEqual([
    `${at} -s 10.0.0.0/8 -j FL-REJECT`,
    `${at} -m addrtype --src-type LOCAL -j RETURN`,
    `${at} -j DROP`,
  ])
  const nat = 'KUBE-SERVICES: -d 192.0.2.1/32 -p tcp -m tcp --dport 80'
  expect(rulesOf('nat', [port]).slice(0, 2)).toEqual([
    `${nat} -s 10.0.0.0/8 -j RETURN`,
    `${nat} -m addrtype --src-type LOCAL -g L1`,
  ])
})

test('plan() treats a route to an empty pool as a refusal', () => {
  const port = web().clusterIp('172.30.0.1')
  expect(rulesOf('nat', [port])).toEqual([])
  expect(rulesOf('filter', [port])).toEqual([
    'FL-UNANSWERED: -d 172.30.0.1/32 -p tcp -m tcp --dport 80 -j FL-REJECT',
  ])
})

const RANGES = { sourceRanges: ['203.0.113.0/25', '198.51.100.0/24'] }

test('plan() lets source ranges through to the route and drops the rest', () => {
  const port = web().loadBalancerIp('192.0.2.1', 80, RANGES).endpoints('10.0.0.1:80')
  expect(rulesOf('nat', [port])).toEqual([
    'KUBE-SERVICES: -d 192.0.2.1/32 -p tcp -m tcp --dport 80 -g A1',
    'C1: -j KUBE-MARK-MASQ',
    'C1: -p tcp -j DNAT --to-destination 10.0.0.1:80',
    'A1: -s 203.0.113.0/25 -g R1',
    'A1: -s 198.51.100.0/24 -g R1',
    'R1: -g C1',
  ])
  expect(rulesOf('filter', [port])).toEqual([
    'KUBE-PROXY-FIREWALL: -d 192.0.2.1/32 -p tcp -m tcp --dport 80 -j DROP',
  ])
})

test('plan() rejects allowed senders and drops others when source ranges meet no endpoints', () => {
  const port = web().loadBalancerIp('192.0.2.1', 80, { ...RANGES, routes: everyOrigin(REJECT) })
  expect(rulesOf('nat', [port])).toEqual([])
  expect(rulesOf('filter', [port])).toEqual([
    'A1: -s 203.0.113.0/25 -g R1',
    'A1: -s 198.51.100.0/24 -g R1',
    'A1: -j DROP',
    'R1: -j FL-REJECT',
    'KUBE-PROXY-FIREWALL: -d 192.0.2.1/32 -p tcp -m tcp --dport 80 -g A1',
  ])
})

test('plan() forwards a port range to the port that was dialled', () => {
  const port = web().clusterIp('172.30.0.1', 10_000, { lastPort: 20_000 }).endpoints('10.0.0.1:80')
  expect(rulesOf('nat', [port])).toEqual([
    'KUBE-SERVICES: -d 172.30.0.1/32 -p tcp -m tcp --dport 10000:20000 -g CP1',
    'CP1: ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ',
    'CP1: -p tcp -j DNAT --to-destination 10.0.0.1',
  ])
})

test('plan() looks for a client among the sets of the endpoints before it chooses', () => {
  const port = web().clusterIp('172.30.0.1').endpoints('10.0.0.1:80').affinity(600)
  const forwarding = aForwarding([port])
  const keys = objectsOf(plannerOf(forwarding).plan(forwarding)).map(({ key }) => key)
  const sets = keys.filter((key) => key.startsWith('set/FL-A4-'))
  expect(sets).toHaveLength(1)
  expect(rulesOf('nat', [port]).slice(1)).toEqual([
    'E1: -j SET --add-set SET src --exist --timeout 600',
    'E1: -p tcp -j DNAT --to-destination 10.0.0.1:80',
    'C1: ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ',
    'C1: -m set --match-set SET src -g E1',
    'C1: -g E1',
  ])
})

test('plan() remembers clients by xt_recent where there is no ipset', () => {
  const port = web().clusterIp('172.30.0.1').endpoints('10.0.0.1:80').affinity(600)
  const forwarding = aForwarding([port])
  expect(
    objectsOf(plannerOf(forwarding, { sets: 'none' }).plan(forwarding)).map(({ kind }) => kind),
  ).not.toContain('set')
  expect(rulesOf('nat', [port], { sets: 'none' })).toEqual(
    expect.arrayContaining([
      'E1: -m recent --set --name SET -p tcp -j DNAT --to-destination 10.0.0.1:80',
      'C1: -m recent --rcheck --seconds 600 --reap --name SET -g E1',
    ]),
  )
})

test('plan() keeps the chain and the set of an endpoint when others come and go', () => {
  const named = (texts: readonly string[]) => {
    const forwarding = aForwarding([
      web()
        .clusterIp('172.30.0.1')
        .endpoints(...texts)
        .affinity(600),
    ])
    return objectsOf(plannerOf(forwarding).plan(forwarding))
      .map(({ key }) => key)
      .filter((key) => /FL-(E|A4)-/.test(key))
  }
  expect(named(['10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:80'])).toEqual(
    expect.arrayContaining(named(['10.0.0.2:80'])),
  )
})

test('plan() gives every endpoint the share of its weight', () => {
  const port = web().clusterIp('172.30.0.1').endpoints('10.0.0.1:80=1', '10.0.0.2:80=3', '10.0.0.3:80=4')
  expect(rulesOf('nat', [port]).slice(2)).toEqual([
    'C1: -m statistic --mode random --probability 0.12500000000 -p tcp -j DNAT --to-destination 10.0.0.1:80',
    'C1: -m statistic --mode random --probability 0.42857142857 -p tcp -j DNAT --to-destination 10.0.0.2:80',
    'C1: -p tcp -j DNAT --to-destination 10.0.0.3:80',
  ])
})

test('plan() shares exactly, however many endpoints and levels there are', () => {
  const texts = Array.from({ length: 700 }, (_, i) => `10.0.${i >> 8}.${i & 255}:80=${1 + (i % 3)}`)
  const forwarding = aForwarding([
    web()
      .clusterIp('172.30.0.1')
      .endpoints(...texts),
  ])
  const state = plannerOf(forwarding).plan(forwarding)
  const chains = new Map(
    objectsOf(state)
      .filter((object) => object.kind === 'chain')
      .map((chain) => [chain.name, chain.rules ?? []]),
  )
  const shares = new Map<string, number>()
  let longest = 0
  const walk = (name: string, share: number): void => {
    const rules = chains
      .get(name)!
      .map(bare)
      .filter((rule) => !rule.endsWith('KUBE-MARK-MASQ'))
    longest = Math.max(longest, rules.length)
    let rest = share
    for (const rule of rules) {
      const taken = rest * Number(/--probability ([\d.]+)/.exec(rule)?.[1] ?? 1)
      rest -= taken
      const next = / -g (\S+)$/.exec(` ${rule}`)?.[1]
      const to = /--to-destination (\S+)/.exec(rule)?.[1]
      if (next !== undefined) walk(next, taken)
      else shares.set(to!, taken)
    }
  }
  walk(
    [...chains.keys()].find((name) => /^FL-C-[A-Z2-7]{16}$/.test(name))!,
    1,
  )
  expect(longest).toBeLessThanOrEqual(32)
  const total = texts.reduce((sum, text) => sum + Number(text.split('=')[1]), 0)
  for (const text of texts) {
    const [to = '', weight] = text.split('=')
    expect(shares.get(to)).toBeCloseTo(Number(weight) / total, 8)
  }
})

test('plan() sends clients by the hash of their source where that is asked for', () => {
  const port = web()
    .clusterIp('172.30.0.1')
    .endpoints('10.0.0.1:80', '10.0.0.2:80')
    .with({ algorithm: 'source-hash' })
  const rules = rulesOf('nat', [port]).slice(2)
  expect(rules.at(-1)).toBe('C1: -p tcp -j DNAT --to-destination 10.0.0.2:80')
  expect(rules.slice(0, -1)).toHaveLength(16)
  expect(rules[0]).toMatch(
    /-m cluster --cluster-total-nodes 32 --cluster-local-node \d+ --cluster-hash-seed 0x00005eed/,
  )
})

test.each<{ name: string; node: Partial<NodeForwarding>; want: readonly string[] }>([
  {
    name: 'all addresses but loopback',
    node: { nodePorts: { scope: 'all' } },
    want: ['! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS'],
  },
  {
    name: 'all addresses and loopback',
    node: { nodePorts: { scope: 'all' }, localhostNodePorts: true },
    want: ['-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS'],
  },
  {
    name: 'listed addresses',
    node: { nodePorts: { scope: 'listed', ips: [anIp('192.168.0.2'), anIp('127.0.0.1')] } },
    want: ['-d 192.168.0.2/32 -j KUBE-NODEPORTS'],
  },
  {
    name: 'listed addresses and loopback',
    node: { nodePorts: { scope: 'listed', ips: [anIp('192.168.0.2')] }, localhostNodePorts: true },
    want: ['-d 192.168.0.2/32 -j KUBE-NODEPORTS', '-d 127.0.0.0/8 -j KUBE-NODEPORTS'],
  },
  { name: 'no addresses', node: { nodePorts: { scope: 'listed', ips: [] } }, want: [] },
])('plan() serves NodePorts on $name', ({ node, want }) => {
  const rules = rulesOf('nat', [web().nodePort(30080).endpoints('10.0.0.1:80')], { node })
  expect(rules.filter((rule) => rule.startsWith('KUBE-SERVICES'))).toEqual(
    want.map((rule) => `KUBE-SERVICES: ${rule}`),
  )
})

test('plan() refuses NodePorts only where they are served', () => {
  const node = { nodePorts: { scope: 'listed' as const, ips: [anIp('192.168.0.2')] } }
  const rules = rulesOf('filter', [web().nodePort(30080, { routes: everyOrigin(REJECT) })], { node })
  expect(rules).toEqual([
    'FL-UNANSWERED: -d 192.168.0.2/32 -j FL-UNANSWERED-NODEPORTS',
    'FL-UNANSWERED-NODEPORTS: -p tcp -m tcp --dport 30080 -j FL-REJECT',
  ])
})

test('plan() opens loopback only together with the guard', () => {
  const keys = (localhostNodePorts: boolean, family: 'IPv4' | 'IPv6') => {
    const forwarding = aForwarding([], { localhostNodePorts }, family)
    return objectsOf(plannerOf(forwarding).plan(forwarding)).map(({ key }) => key)
  }
  const both = [expect.stringContaining('route_localnet'), expect.stringContaining('block incoming localnet')]
  expect(keys(true, 'IPv4')).toEqual(expect.arrayContaining(both))
  for (const other of [keys(false, 'IPv4'), keys(true, 'IPv6')])
    expect(other.join('\n')).not.toMatch(/route_localnet|localnet connections/)
})

test('plan() lets health checks in', () => {
  expect(rulesOf('filter', [web().with({ healthCheckNodePort: 32000 })])).toEqual([
    'KUBE-NODEPORTS: -p tcp -m tcp --dport 32000 -j ACCEPT',
  ])
})

test('plan() returns the identical state for the identical forwarding', () => {
  const forwarding = wholeCluster('IPv4')
  const planner = plannerOf(forwarding)
  expect(planner.plan(forwarding)).toBe(planner.plan(forwarding))
})

test('plan() after a change of one endpoint differs by one chain', () => {
  const planner = plannerOf({ family: 'IPv4' })
  const before = aForwarding(plainServices('IPv4', 0, 500))
  const moved = web()
    .with({ key: plainServices('IPv4', 7, 1)[0]!.build().key })
    .clusterIp('172.30.1.7')
    .endpoints('10.9.9.9:80')
  const first = planner.plan(before)
  const second = planner.plan({ ...before, ports: before.ports.with([[moved.build().key, moved.build()]]) })
  const { created, updated, removed } = diffState(second, first)
  expect([created.length, updated.length, removed.length]).toEqual([0, 1, 0])
})

test('plan() names every object once', () => {
  for (const family of ['IPv4', 'IPv6'] as const) {
    const keys = objectsOf(plannerOf({ family }).plan(wholeCluster(family))).map(({ key }) => key)
    expect(new Set(keys).size).toBe(keys.length)
  }
})

test('plan() refers only to chains that it makes, and makes only chains that it refers to', () => {
  const built = /^(ACCEPT|DROP|REJECT|RETURN|DNAT|MARK|MASQUERADE|SET)$/
  for (const family of ['IPv4', 'IPv6'] as const) {
    const objects = objectsOf(plannerOf({ family }).plan(wholeCluster(family)))
    const chains = objects.filter((object) => object.kind === 'chain')
    const jumps = objects.filter((object) => object.kind === 'shared-rule')
    const rules = [
      ...chains.flatMap(({ table, rules }) => (rules ?? []).map((rule) => ({ table, rule }))),
      ...jumps,
    ]
    const targets = rules.map(({ table, rule }) => `${table}/${/ -[jg] (\S+)/.exec(` ${rule}`)?.[1] ?? ''}`)
    const wanted = new Set(targets.filter((target) => !built.test(target.split('/')[1]!)))
    wanted.delete('filter/KUBE-FIREWALL')
    const made = new Set(chains.map(({ key }) => key))
    expect([...wanted].filter((target) => !made.has(target))).toEqual([])
    expect([...made].filter((key) => !wanted.has(key))).toEqual([])
  }
})

const anyChange = fc.record({
  keep: fc.subarray(oneOfEachKind('IPv4').map((_, i) => i)),
  plain: fc.tuple(fc.nat(200), fc.nat(150)),
  localhost: fc.boolean(),
})

test('plan() does not depend on what was planned before', () => {
  fc.assert(
    fc.property(fc.array(anyChange, { minLength: 2, maxLength: 5 }), (changes) => {
      const planner = plannerOf({ family: 'IPv4' })
      for (const { keep, plain, localhost } of changes) {
        const kinds = oneOfEachKind('IPv4').filter((_, i) => keep.includes(i))
        const forwarding = aForwarding([...kinds, ...plainServices('IPv4', ...plain)], {
          localhostNodePorts: localhost,
        })
        const incremental = planner.plan(forwarding)
        const fresh = plannerOf(forwarding).plan(forwarding)
        expect(isEmpty(diffState(incremental, fresh))).toBe(true)
        expect([...incremental.keys()].sort()).toEqual([...fresh.keys()].sort())
      }
    }),
    { numRuns: 12 },
  )
})

test('hashIn() finds the Service in a line', () => {
  expect(hashIn('-A FL-S-172.30.0.0-20 -d 172.30.0.1/32 -g FL-C-ABCDEFGHIJKLMNOP-3a')).toBe(
    'ABCDEFGHIJKLMNOP',
  )
})
