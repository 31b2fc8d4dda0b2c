import { atOnce } from '../../../../src/collections/sliced.ts'
import type { BackendOptions } from '../../../../src/backends/backend.ts'
import type { IpvsObject } from '../../../../src/backends/ipvs/plan-port.ts'
import { IpvsPlanner } from '../../../../src/backends/ipvs/plan.ts'
import { scriptFor } from '../../../../src/backends/ipvs/script.ts'
import { allSets, MARK_PREFIX, MARK_PREFIX_MASK, setNameFor } from '../../../../src/backends/ipvs/names.ts'
import type { Forwarding, PortForwarding } from '../../../../src/forwarding/forwarding.ts'
import { diffState, isEmpty, type KernelState } from '../../../../src/netfilter/kernel-state.ts'
import type { Cidr } from '../../../../src/net/cidr.ts'
import {
  aForwarding,
  anIp,
  aPort,
  DROP,
  everyOrigin,
  FORWARD,
  FORWARD_LOCAL,
  FORWARD_MASQUERADED,
  LOCAL_ROUTES,
  type PortBuilder,
  REJECT,
  withPorts,
} from '../../../support/forwarding-builder.ts'

const OPTIONS: BackendOptions = {
  family: 'IPv4',
  detector: { by: 'source', cidr: '10.244.0.0/16' as Cidr },
  masqueradeMark: 0x4000,
  dropInvalid: true,
}
const SCHEDULERS = { defaultScheduler: 'rr', unavailable: new Set<string>() }
const NODE = { localIps: [anIp('127.0.0.1'), anIp('192.168.0.2')], primaryIp: anIp('192.168.0.2') }

function planner(options: Partial<BackendOptions> = {}, nodeName = 'node-a') {
  const made = new IpvsPlanner({ options: { ...OPTIONS, ...options }, nodeName })
  return (forwarding: Forwarding, schedulers = SCHEDULERS) => made.plan(forwarding, schedulers)
}

function objects(state: KernelState<IpvsObject>): IpvsObject[] {
  return [...state.values()].flatMap((fragment) => [...fragment.values()])
}

/** Servers and elements as the tools would be told, without what is there for an empty cluster. */
function lines(ports: readonly PortBuilder[], options: Partial<BackendOptions> = {}): string[] {
  const plan = planner(options)
  const empty = new Set(objects(plan(aForwarding([], NODE))).map(({ key }) => key))
  return objects(planner(options)(aForwarding(ports, NODE)))
    .filter(({ key }) => !empty.has(key))
    .map((object) => `${object.key.replace(/^\w+ /, '')} ${object.text}`.trim())
    .sort()
}

test('IpvsPlanner plans a ClusterIP as a virtual server, an address and two elements', () => {
  expect(lines([aPort('ns/web').clusterIp('172.30.0.1').endpoints('10.0.0.1:80', '10.0.0.2:80')])).toEqual([
    '-t 172.30.0.1:80 -s rr',
    '-t 172.30.0.1:80 10.0.0.1:80 -m -w 1',
    '-t 172.30.0.1:80 10.0.0.2:80 -m -w 1',
    '172.30.0.1 via route src 192.168.0.2',
    'KUBE-CLUSTER-IP 172.30.0.1,tcp:80',
    'KUBE-IPVS-IPS 172.30.0.1',
  ])
})

test('IpvsPlanner keeps a virtual server without servers where everybody is rejected', () => {
  const port = aPort('ns/web').clusterIp('172.30.0.1', 80, { routes: everyOrigin(REJECT) })
  expect(lines([port])).toEqual([
    '-t 172.30.0.1:80 -s rr',
    '172.30.0.1 via route src 192.168.0.2',
    'KUBE-CLUSTER-IP 172.30.0.1,tcp:80',
    'KUBE-IPVS-IPS 172.30.0.1',
  ])
})

test('IpvsPlanner puts who is dropped into the set of its kind of sender', () => {
  const port = aPort('ns/web').clusterIp('172.30.0.1', 80, { routes: everyOrigin(DROP) })
  expect(lines([port]).filter((line) => line.startsWith('FL-'))).toEqual([
    'FL-DROP-EXTERNAL 172.30.0.1,tcp:80',
    'FL-DROP-NODE 172.30.0.1,tcp:80',
    'FL-DROP-POD 172.30.0.1,tcp:80',
  ])
})

describe('IpvsPlanner with policy Local', () => {
  const port = aPort('ns/lb')
    .loadBalancerIp('203.0.113.9', 443, { routes: LOCAL_ROUTES })
    .endpoints('10.0.0.1:8443', '10.0.0.2:8443*')
  const planned = lines([port])
  const markOf = (set: string) =>
    Number(/skbmark (\S+)/.exec(planned.find((line) => line.startsWith(set)) ?? '')?.[1])

  test('gives the address to those from outside, and marks to the short circuits', () => {
    expect(planned.filter((line) => line.startsWith('-t'))).toEqual([
      '-t 203.0.113.9:443 -s rr',
      '-t 203.0.113.9:443 10.0.0.2:8443 -m -w 1',
    ])
    const [pod, node] = [markOf('FL-MARK-POD'), markOf('FL-MARK-NODE')]
    for (const mark of [pod, node])
      expect(planned.filter((line) => line.startsWith(`-f ${mark}`))).toEqual([
        `-f ${mark} -s rr`,
        `-f ${mark} 10.0.0.1:8443 -m -w 1`,
        `-f ${mark} 10.0.0.2:8443 -m -w 1`,
      ])
    expect(markOf('FL-MARK-EXTERNAL')).toBeNaN()
  })

  test('marks carry the masquerade bit of the route, and a prefix of their own', () => {
    const [pod, node] = [markOf('FL-MARK-POD'), markOf('FL-MARK-NODE')]
    expect(pod & 0x4000).toBe(0)
    expect(node).toBe(pod | 0x4000)
    expect((pod & MARK_PREFIX_MASK) >>> 0).toBe(MARK_PREFIX)
    expect(pod & 0x8000).toBe(0)
  })

  test('keeps clients by a hash where a mark would send them to the port that they dialled', () => {
    const found = lines([port.affinity(60)]).filter((line) => / -s /.test(line))
    expect(
      found.filter((line) => line.startsWith('-f ')).map((line) => line.replace(/^-f \d+ /, '')),
    ).toEqual(['-s sh -b sh-fallback', '-s sh -b sh-fallback'])
    expect(found.filter((line) => line.startsWith('-t ')).every((line) => line.endsWith('-s rr -p 60'))).toBe(
      true,
    )
  })

  test('needs no mark while there is no local endpoint: those from outside are dropped', () => {
    const routes = { pod: FORWARD, node: FORWARD_MASQUERADED, external: DROP }
    const without = aPort('ns/lb').loadBalancerIp('203.0.113.9', 443, { routes }).endpoints('10.0.0.1:8443')
    expect(lines([without]).filter((line) => /^(FL|-)/.test(line))).toEqual([
      '-t 203.0.113.9:443 -s rr',
      '-t 203.0.113.9:443 10.0.0.1:8443 -m -w 1',
      'FL-DROP-EXTERNAL 203.0.113.9,tcp:443',
      'FL-MASQ-NODE 203.0.113.9,tcp:443',
    ])
  })

  test('without a detector tells only the node apart', () => {
    const found = lines([port], { detector: undefined })
    expect(found.filter((line) => line.includes('-POD '))).toEqual([])
    expect(found.filter((line) => line.startsWith('FL-MARK-NODE'))).toHaveLength(1)
  })

  test('gives the marks of two service ports to nobody else', () => {
    const two = [
      port,
      port.with({
        key: 'ns/other:/TCP' as never,
        frontends: [{ ...port.build().frontends[0]!, ip: anIp('203.0.113.8') }],
      }),
    ]
    const marks = lines(two).flatMap((line) => /^-f (\d+) -s/.exec(line)?.[1] ?? [])
    expect(new Set(marks).size).toBe(4)
  })
})

describe('IpvsPlanner with NodePorts', () => {
  const port = aPort('ns/web', { protocol: 'UDP' }).nodePort(30053).endpoints('10.0.0.1:53')

  test('has a virtual server on every accepted address but loopback', () => {
    const node = { ...NODE, localIps: [...NODE.localIps, anIp('10.1.1.1')] }
    const selectors = objects(planner()(aForwarding([port], node))).flatMap((object) =>
      object.kind === 'virtual-server' ? [object.selector] : [],
    )
    expect(selectors).toEqual(['-u 192.168.0.2:30053', '-u 10.1.1.1:30053'])
  })

  test('follows listed addresses', () => {
    const node = {
      ...NODE,
      nodePorts: { scope: 'listed', ips: [anIp('10.1.1.1'), anIp('127.0.0.1')] } as const,
    }
    const found = objects(planner()(aForwarding([port], node)))
    expect(found.map(({ key }) => key)).toContain('virtual -u 10.1.1.1:30053')
    expect(found.map(({ key }) => key)).toContain('element FL-NODE-IPS 10.1.1.1')
    expect(found.map(({ key }) => key)).not.toContain('element FL-NODE-IPS 127.0.0.1')
  })

  test('makes no address local that an interface has', () => {
    const onNode = aPort('ns/lb').loadBalancerIp('192.168.0.2', 443).endpoints('10.0.0.1:443')
    expect(lines([onNode]).filter((line) => /via route|IPVS-IPS/.test(line))).toEqual([])
  })
})

test('IpvsPlanner keeps source ranges in the sets that the guard looks at', () => {
  const port = aPort('ns/lb')
    .loadBalancerIp('203.0.113.9', 443, {
      sourceRanges: ['198.51.100.0/24', '198.51.100.7/32', '203.0.113.9/32', '0.0.0.0/0'],
    })
    .endpoints('10.0.0.1:443')
  expect(lines([port]).filter((line) => /SOURCE|-FW/.test(line))).toEqual([
    'KUBE-LOAD-BALANCER-FW 203.0.113.9,tcp:443',
    'KUBE-LOAD-BALANCER-SOURCE-CIDR 203.0.113.9,tcp:443,0.0.0.0/1',
    'KUBE-LOAD-BALANCER-SOURCE-CIDR 203.0.113.9,tcp:443,128.0.0.0/1',
    'KUBE-LOAD-BALANCER-SOURCE-CIDR 203.0.113.9,tcp:443,198.51.100.0/24',
    'KUBE-LOAD-BALANCER-SOURCE-CIDR 203.0.113.9,tcp:443,198.51.100.7',
    'KUBE-LOAD-BALANCER-SOURCE-IP 203.0.113.9,tcp:443,203.0.113.9',
  ])
})

test('IpvsPlanner masquerades every sender that the route says, and ClusterIPs by one rule', () => {
  const port = aPort('ns/web')
    .externalIp('203.0.113.9')
    .clusterIp('172.30.0.1', 80, { routes: everyOrigin(FORWARD_MASQUERADED) })
    .endpoints('10.0.0.1:80')
  expect(lines([port]).filter((line) => line.startsWith('FL-MASQ'))).toEqual([
    'FL-MASQ-EXTERNAL 203.0.113.9,tcp:80',
    'FL-MASQ-NODE 203.0.113.9,tcp:80',
    'FL-MASQ-POD 172.30.0.1,tcp:80',
    'FL-MASQ-POD 203.0.113.9,tcp:80',
  ])
})

test('IpvsPlanner leads a range of ports to a virtual server of a mark that keeps the port', () => {
  const port = aPort('ns/sip')
    .clusterIp('172.30.0.1', 10000, { lastPort: 20000, sourceRanges: ['10.0.0.0/8'] })
    .endpoints('10.244.0.1:5060*')
  const found = objects(planner()(aForwarding([port], NODE)))
  const rules = found.flatMap((object) =>
    object.kind === 'chain' && object.name.startsWith('FL-RANGES') ? (object.rules ?? []) : [],
  )
  expect(rules).toHaveLength(4)
  expect(rules.every((rule) => rule.includes('-d 172.30.0.1/32 -p tcp -m tcp --dport 10000:20000'))).toBe(
    true,
  )
  const servers = found.flatMap((object) => (object.kind === 'real-server' ? [object.server] : []))
  expect(servers).toEqual(['10.244.0.1:0', '10.244.0.1:0'])
  expect(found.some((object) => object.kind === 'virtual-server' && object.selector.startsWith('-t'))).toBe(
    false,
  )
  const self = found.find(({ key }) => key === 'nat/FL-SELF')
  expect(self).toMatchObject({
    rules: [expect.stringMatching(/-s 10\.244\.0\.1\/32 -d 10\.244\.0\.1\/32 -j MARK --or-mark 0x4000$/)],
  })
})

test('IpvsPlanner masquerades endpoints of this node towards themselves', () => {
  const port = aPort('ns/web').clusterIp('172.30.0.1').endpoints('10.244.0.1:80*', '10.244.1.1:80')
  expect(lines([port]).filter((line) => line.startsWith('KUBE-LOOP-BACK'))).toEqual([
    'KUBE-LOOP-BACK 10.244.0.1,tcp:80,10.244.0.1',
  ])
})

test('IpvsPlanner tells servers in an order of its own on every node', () => {
  const endpoints = Array.from({ length: 8 }, (_, i) => `10.0.0.${i + 1}:80`)
  const order = (nodeName: string) =>
    objects(
      planner(
        {},
        nodeName,
      )(
        aForwarding(
          [
            aPort('ns/web')
              .clusterIp('172.30.0.1')
              .endpoints(...endpoints),
          ],
          NODE,
        ),
      ),
    ).flatMap((object) => (object.kind === 'real-server' ? [object.server] : []))
  const orders = ['a', 'b', 'c', 'd'].map(order)
  expect(new Set(orders.map((one) => one.at(-1))).size).toBeGreaterThan(1)
  for (const one of orders) expect(one.toSorted()).toEqual(endpoints)
  expect(order('a')).toEqual(orders[0])
})

describe('IpvsPlanner is incremental:', () => {
  const web = aPort('ns/web').clusterIp('172.30.0.1').endpoints('10.0.0.1:80', '10.0.0.2:80')
  const twin = aPort('ns/web', { port: 'metrics' }).clusterIp('172.30.0.1', 9090).endpoints('10.0.0.1:90*')
  const third = aPort('ns/third').clusterIp('172.30.0.3').endpoints('10.0.0.1:90*')

  test('one endpoint less is one object less', () => {
    const plan = planner()
    const forwarding = aForwarding([web, twin], NODE)
    const before = plan(forwarding)
    const fewer = aPort('ns/web').clusterIp('172.30.0.1').endpoints('10.0.0.1:80').build()
    const changes = diffState(plan(withPorts(forwarding, [['ns/web:/TCP', fewer]])), before)
    expect(changes.removed.map(({ key }) => key)).toEqual(['real -t 172.30.0.1:80 10.0.0.2:80'])
    expect([...changes.created, ...changes.updated]).toEqual([])
  })

  test('one endpoint that is replaced costs the same among ten and among two thousand Services', () => {
    const costs = [10, 2000].map((services) => {
      let reads = 0
      const counted = (port: PortForwarding): PortForwarding =>
        new Proxy(port, {
          get: (target, property) => {
            reads++
            return Reflect.get(target, property) as unknown
          },
        })
      const one = (i: number, endpoint: string) =>
        counted(
          aPort(`ns/s${i}`)
            .clusterIp(`172.30.${i >> 8}.${i & 255}`)
            .nodePort(20000 + i, { routes: LOCAL_ROUTES })
            .endpoints(endpoint, '10.0.0.2:80*')
            .build(),
        )
      const ports = Array.from({ length: services }, (_, i) => one(i, '10.0.0.1:80'))
      const plan = planner()
      const forwarding = aForwarding(ports, NODE)
      const before = plan(forwarding)
      reads = 0
      const next = withPorts(forwarding, [['ns/s7:/TCP', one(7, '10.0.0.3:80')]])
      const changes = diffState(plan(next), before)
      const context = { family: 'IPv4', draining: new Set<string>(), restoreProgram: 'restore' } as const
      return { reads, script: atOnce(scriptFor(changes, context)).map(({ stdin }) => stdin) }
    })
    expect(costs[1]).toEqual(costs[0])
    expect(costs[0]?.script[0]?.split('\n').filter((line) => line.startsWith('-a -t 172.'))).toHaveLength(1)
  })

  test('an address and a hairpin stay until the last service port that needs them goes', () => {
    const plan = planner()
    const all = aForwarding([web, twin, third], NODE)
    const removedBy = (from: Forwarding, key: string) => {
      const before = plan(from)
      return diffState(plan(withPorts(from, [[key, undefined]])), before).removed.map((object) => object.key)
    }
    const shared = /^local|IPVS-IPS|LOOP-BACK/
    expect(removedBy(all, 'ns/web:/TCP').filter((key) => shared.test(key))).toEqual([])
    expect(
      removedBy(aForwarding([twin, third], NODE), 'ns/web:metrics/TCP')
        .filter((key) => shared.test(key))
        .sort(),
    ).toEqual(['element KUBE-IPVS-IPS 172.30.0.1', 'local 172.30.0.1'])
  })

  test('any way to a forwarding ends in the same state as a fresh plan of it', () => {
    const lb = aPort('ns/lb')
      .loadBalancerIp('203.0.113.9', 443, { routes: LOCAL_ROUTES })
      .endpoints('10.0.0.1:1', '10.0.0.2:1*')
    const steps = [
      aForwarding([web], NODE),
      aForwarding([web, twin, lb], NODE),
      aForwarding([lb, third], { ...NODE, localIps: [anIp('192.168.0.9')] }),
      aForwarding([twin, third], NODE),
      aForwarding([], NODE),
      aForwarding([web, lb], NODE),
    ]
    const plan = planner()
    for (const step of steps) expect(isEmpty(diffState(plan(step), planner()(step)))).toBe(true)
  })

  test('unchanged input gives the identical state', () => {
    const plan = planner()
    const forwarding = aForwarding([web, twin], NODE)
    expect(plan(forwarding)).toBe(plan({ ...forwarding, node: { ...forwarding.node } }))
  })

  test('a scheduler that turns out to be missing changes the servers that wished for it', () => {
    const plan = planner()
    const forwarding = aForwarding([web.with({ ipvsScheduler: 'mh' }), third], NODE)
    const before = plan(forwarding)
    const changes = diffState(
      plan(forwarding, { defaultScheduler: 'rr', unavailable: new Set(['mh']) }),
      before,
    )
    expect(changes.updated.map(({ from, to }) => `${from.text} → ${to.text}`)).toEqual([
      '-s mh -b mh-fallback → -s rr',
    ])
  })
})

test('IpvsPlanner has the same number of rules for one Service and for a thousand', () => {
  const rules = (count: number) => {
    const ports = Array.from({ length: count }, (_, i) =>
      aPort(`ns/s${i}`)
        .clusterIp(`172.30.${i >> 8}.${i & 255}`)
        .nodePort(20000 + i)
        .loadBalancerIp(`203.0.${i >> 8}.${i & 255}`, 80, { routes: LOCAL_ROUTES })
        .endpoints('10.0.0.1:80', '10.0.0.2:80*'),
    )
    return objects(planner()(aForwarding(ports, NODE))).reduce(
      (sum, object) =>
        sum + (object.kind === 'chain' ? (object.rules ?? []).length : object.kind === 'shared-rule' ? 1 : 0),
      0,
    )
  }
  expect(rules(1000)).toBe(rules(1))
})

test('set names are kube-proxy’s in both families', () => {
  expect(setNameFor('KUBE-LOAD-BALANCER-SOURCE-CIDR', 'IPv6')).toBe('KUBE-6-LOAD-BALANCER-SOURCE-CID')
  expect(setNameFor('KUBE-NODE-PORT-LOCAL-SCTP-HASH', 'IPv6')).toBe('KUBE-6-NODE-PORT-LOCAL-SCTP-HAS')
  const both = [...allSets('IPv4'), ...allSets('IPv6')].map(({ name }) => name)
  expect(new Set(both).size).toBe(both.length)
  expect(both.every((name) => name.length <= 31)).toBe(true)
})

test('IpvsPlanner plans IPv6 in its own sets and with bracketed servers', () => {
  const port = aPort('ns/lb', { family: 'IPv6' })
    .loadBalancerIp('2001:db8::9', 443, { routes: { pod: FORWARD, node: FORWARD, external: FORWARD_LOCAL } })
    .endpoints('[fd00::1]:8443', '[fd00::2]:8443*')
  const plan = planner({ family: 'IPv6', detector: undefined })
  const found = objects(plan(aForwarding([port], { localIps: [anIp('::1'), anIp('fd01::2')] }, 'IPv6'))).map(
    ({ key }) => key,
  )
  expect(found).toContain('virtual -t [2001:db8::9]:443')
  expect(found).toContain('real -t [2001:db8::9]:443 [fd00::2]:8443')
  expect(found.some((key) => /^virtual -f \d+ -6$/.test(key))).toBe(true)
  expect(found).toContain('element KUBE-6-LOAD-BALANCER 2001:db8::9,tcp:443')
  expect(found).toContain('local 2001:db8::9')
})
