import { ForwardingDecider, type ForwardingOptions } from '../../../src/forwarding/decide-forwarding.ts'
import type { Forwarding } from '../../../src/forwarding/forwarding.ts'
import { ClusterStore } from '../../../src/model/cluster-store.ts'
import { hostPort } from '../../../src/net/ip.ts'
import type { ApiObject } from '../../conformance/conformance-case.ts'
import { aService, aSlice } from '../../support/builders.ts'
import { aCidr, anIp } from '../../support/decided-case.ts'

class Cluster {
  readonly store = new ClusterStore({ nodeName: 'a' })
  readonly decider: ForwardingDecider

  constructor(options: Partial<ForwardingOptions> = {}) {
    this.decider = new ForwardingDecider({
      family: 'IPv4',
      hasDetector: true,
      masqueradeAll: false,
      nodePortAddresses: 'all',
      localhostNodePorts: false,
      externalIpCidrs: undefined,
      ...options,
    })
  }

  change(...objects: readonly { build(): ApiObject }[]): this {
    for (const builder of objects) {
      const object = builder.build()
      const resource = object['kind'] === 'Service' ? 'Service' : 'EndpointSlice'
      this.store.apply({ type: 'changed', resource, object })
    }
    return this
  }

  remove(builder: { build(): ApiObject }): this {
    this.store.apply({ type: 'deleted', resource: 'Service', object: builder.build() })
    return this
  }

  node(primary: string, zone = ''): this {
    const object = {
      metadata: { name: 'a', labels: { 'topology.kubernetes.io/zone': zone } },
      status: { addresses: [{ type: 'InternalIP', address: primary }] },
    }
    this.store.apply({ type: 'changed', resource: 'Node', object })
    return this
  }

  decide(nowMs?: number): Forwarding {
    return this.decider.decide(this.store.snapshot(), nowMs)
  }

  frontends(key: string): string[] {
    const port = this.decide().ports.get(key as never)
    return (port?.frontends ?? []).map(
      ({ kind, ip, port: number }) => `${kind} ${ip === undefined ? number : hostPort(ip, number)}`,
    )
  }

  conflicts(): string[] {
    this.decide()
    return this.decider.conflicts().map(({ key, message }) => `${key} ${message}`)
  }

  weights(key: string, nowMs?: number): Record<string, number> {
    const pool = this.decide(nowMs).ports.get(key as never)?.pools.cluster ?? []
    return Object.fromEntries(pool.map(({ ip, weight }) => [ip, weight]))
  }
}

const old = aService('ns/old').clusterIp('172.30.0.1').port(80)
const young = aService('ns/young').clusterIp('172.30.0.2').port(80).createdAt('2026-02-01T00:00:00Z')

describe('ForwardingDecider', () => {
  test('ForwardingDecider.decide() keeps the identity of all that a change does not concern', () => {
    const cluster = new Cluster().change(old, young, aSlice('ns/old').port(80).endpoint('10.0.0.1'))
    const first = cluster.decide()
    cluster.change(aSlice('ns/young').port(80).endpoint('10.0.0.2'))
    const second = cluster.decide()
    expect([...first.ports.changesTo(second.ports)].map(({ key }) => key)).toEqual(['ns/young:/TCP'])
    expect(second.node).toBe(first.node)
    expect(cluster.decide()).toBe(second)
  })

  test('ForwardingDecider.decide() changes nothing for an endpoint that is in no pool', () => {
    const unready = aSlice('ns/old')
      .port(80)
      .endpoint('10.0.0.1')
      .endpoint('10.0.0.2', { ready: false, serving: false })
    const cluster = new Cluster().change(old, aSlice('ns/old').port(80).endpoint('10.0.0.1'))
    const first = cluster.decide()
    expect(cluster.change(unready).decide()).toBe(first)
  })

  test('ForwardingDecider.decide() follows the zone of the node', () => {
    const zoned = aSlice('ns/old')
      .port(80)
      .endpoint('10.0.0.1', { zones: ['z1'] })
      .endpoint('10.0.0.2', { zones: ['z2'] })
    const cluster = new Cluster().change(old, zoned).node('192.168.0.1', 'z1')
    expect(Object.keys(cluster.weights('ns/old:/TCP'))).toEqual(['10.0.0.1'])
    cluster.node('192.168.0.1', 'z2')
    expect(Object.keys(cluster.weights('ns/old:/TCP'))).toEqual(['10.0.0.2'])
  })

  test('ForwardingDecider.decide() keeps every serving endpoint for the judgement of tracked flows', () => {
    const slice = aSlice('ns/old')
      .port(80)
      .endpoint('10.0.0.3', { ready: false, serving: true, terminating: true })
      .endpoint('10.0.0.1')
      .endpoint('10.0.0.2', { ready: false, serving: false })
    const port = new Cluster()
      .change(old, slice)
      .decide()
      .ports.get('ns/old:/TCP' as never)
    expect(port?.servingEndpoints).toEqual(['10.0.0.1:80', '10.0.0.3:80'])
    expect(port?.pools.cluster.map(({ ip }) => ip)).toEqual(['10.0.0.1'])
  })
})

describe('conflicts()', () => {
  test('conflicts() are won by the oldest Service, and the loser keeps the rest', () => {
    const cluster = new Cluster().change(young.externalIp('1.1.1.1'), old.externalIp('1.1.1.1'))
    expect(cluster.frontends('ns/old:/TCP')).toEqual(['ClusterIP 172.30.0.1:80', 'ExternalIP 1.1.1.1:80'])
    expect(cluster.frontends('ns/young:/TCP')).toEqual(['ClusterIP 172.30.0.2:80'])
    expect(cluster.conflicts()).toEqual([
      'ns/young:/TCP ExternalIP 1.1.1.1:80/TCP is left out: ns/old:/TCP, which is older or comes first by name, has it',
    ])
    cluster.remove(old)
    expect(cluster.frontends('ns/young:/TCP')).toEqual(['ClusterIP 172.30.0.2:80', 'ExternalIP 1.1.1.1:80'])
    expect(cluster.conflicts()).toEqual([])
  })

  test('conflicts() between equally old Services are won by name', () => {
    const same = aService('ns/old-b').clusterIp('172.30.0.3').nodePort(80, 30080)
    const cluster = new Cluster().change(same, aService('ns/old').clusterIp('172.30.0.1').nodePort(80, 30080))
    expect(cluster.conflicts()).toEqual([
      'ns/old-b:/TCP NodePort 30080/TCP is left out: ns/old:/TCP, which is older or comes first by name, has it',
    ])
  })

  test('conflicts() are none between protocols or ports', () => {
    const udp = aService('ns/udp').clusterIp('172.30.0.3').port(80, { protocol: 'UDP' }).externalIp('1.1.1.1')
    const other = aService('ns/other').clusterIp('172.30.0.4').port(81).externalIp('1.1.1.1')
    expect(new Cluster().change(old.externalIp('1.1.1.1'), udp, other).conflicts()).toEqual([])
  })

  test('conflicts() of ranges: who loses to nobody that wins keeps its own', () => {
    const ranged = (name: string, ip: string, range: string, created: string) =>
      aService(`ns/${name}`)
        .clusterIp(ip)
        .port(Number(range.split('-')[0]))
        .externalIp('1.1.1.1')
        .wish('port-range', range)
        .createdAt(created)
    const a = ranged('a', '172.30.0.1', '10-20', '2026-01-01T00:00:00Z')
    const b = ranged('b', '172.30.0.2', '15-30', '2026-01-02T00:00:00Z')
    const c = aService('ns/c')
      .clusterIp('172.30.0.3')
      .port(25)
      .externalIp('1.1.1.1')
      .createdAt('2026-01-03T00:00:00Z')
    const cluster = new Cluster().change(c, b, a)
    expect(cluster.conflicts().map((text) => text.split(' ')[0])).toEqual(['ns/b:/TCP'])
    cluster.remove(a)
    expect(cluster.conflicts().map((text) => text.split(' ')[0])).toEqual(['ns/c:/TCP'])
    expect(cluster.conflicts()[0]).toContain('ExternalIP 1.1.1.1:25/TCP')
  })

  test('conflicts() refuse an external address that is the ClusterIP of another Service', () => {
    const thief = young.externalIp('172.30.0.1').loadBalancer('172.30.0.1')
    const cluster = new Cluster().change(thief)
    expect(cluster.conflicts()).toEqual([])
    cluster.change(aService('ns/other').clusterIp('172.30.0.1').port(443))
    expect(cluster.conflicts()).toEqual([
      'ns/young:/TCP LoadBalancerIP 172.30.0.1:80/TCP is left out: the address is the ClusterIP of ns/other:/TCP',
    ])
    cluster.remove(aService('ns/other'))
    expect(cluster.conflicts()).toEqual([])
  })

  test('conflicts() refuse an address and port that is an endpoint of another Service, and no other port', () => {
    const pods = aSlice('ns/old').port(80).endpoint('10.0.0.1')
    const cluster = new Cluster().change(
      old,
      pods,
      young.externalIp('10.0.0.1'),
      aService('ns/x').clusterIp('172.30.0.9').port(81).externalIp('10.0.0.1'),
    )
    expect(cluster.conflicts()).toEqual([
      'ns/young:/TCP ExternalIP 10.0.0.1:80/TCP is left out: it is the address of an endpoint of ns/old:/TCP',
    ])
    cluster.change(aSlice('ns/old').port(80).endpoint('10.0.0.2'))
    expect(cluster.conflicts()).toEqual([])
    cluster.change(aSlice('ns/old').port(80).endpoint('10.0.0.1'))
    expect(cluster.conflicts()).toHaveLength(1)
  })

  test('conflicts() let a Service have the address of its own endpoint, as pods on the host network do', () => {
    const cluster = new Cluster().change(
      old.externalIp('192.168.0.7'),
      aSlice('ns/old').port(80).endpoint('192.168.0.7'),
    )
    expect(cluster.conflicts()).toEqual([])
  })

  test('conflicts() refuse the node’s own address as an external IP, but not as a load balancer IP', () => {
    const cluster = new Cluster().node('192.168.0.1').change(old.externalIp('192.168.0.1'))
    expect(cluster.conflicts()).toEqual([
      'ns/old:/TCP ExternalIP 192.168.0.1:80/TCP is left out: the address is the node’s own; list it in --external-ip-cidrs to allow it',
    ])
    expect(cluster.change(old.loadBalancer('192.168.0.1')).conflicts()).toEqual([])
    expect(cluster.change(old.externalIp('192.168.0.1')).node('192.168.0.2').conflicts()).toEqual([])
  })

  test('conflicts() hold external IPs to the allow-list', () => {
    const cluster = new Cluster({ externalIpCidrs: [aCidr('1.1.0.0/16'), aCidr('192.168.0.0/24')] }).node(
      '192.168.0.1',
    )
    cluster.change(old.externalIp('1.1.1.1', '2.2.2.2', '192.168.0.1').loadBalancer('3.3.3.3'))
    expect(cluster.conflicts()).toEqual([
      'ns/old:/TCP ExternalIP 2.2.2.2:80/TCP is left out: the address is outside --external-ip-cidrs',
    ])
  })
})

describe('weights', () => {
  test('weights come from the Service by address, then by node, then from the slice', () => {
    const slice = aSlice('ns/old')
      .port(80)
      .endpoint('10.0.0.1', { on: 'n1' })
      .endpoint('10.0.0.2', { on: 'n1' })
      .endpoint('10.0.0.3', { on: 'n2' })
      .annotation('fairlead.io/weight', '50')
    const cluster = new Cluster().change(old.wish('weights', '10.0.0.1=10, n1=20'), slice)
    expect(cluster.weights('ns/old:/TCP')).toEqual({ '10.0.0.1': 10, '10.0.0.2': 20, '10.0.0.3': 50 })
  })

  test('weights of new endpoints grow in ten steps with slow start, and old ones are warm', () => {
    const slow = old.wish('slow-start', '10s')
    const cluster = new Cluster().change(slow, aSlice('ns/old').port(80).endpoint('10.0.0.1'))
    expect(cluster.weights('ns/old:/TCP', 1000)).toEqual({ '10.0.0.1': 100 })
    expect(cluster.decider.nextChangeMs()).toBeUndefined()
    cluster.change(aSlice('ns/old').port(80).endpoint('10.0.0.1').endpoint('10.0.0.2'))
    expect(cluster.weights('ns/old:/TCP', 5000)).toEqual({ '10.0.0.1': 100, '10.0.0.2': 10 })
    expect(cluster.decider.nextChangeMs()).toBe(6000)
    expect(cluster.weights('ns/old:/TCP', 5999)['10.0.0.2']).toBe(10)
    expect(cluster.weights('ns/old:/TCP', 6000)['10.0.0.2']).toBe(20)
    expect(cluster.weights('ns/old:/TCP', 13_999)['10.0.0.2']).toBe(90)
    expect(cluster.weights('ns/old:/TCP', 14_000)['10.0.0.2']).toBe(100)
    expect(cluster.decider.nextChangeMs()).toBeUndefined()
  })

  test('weights start anew for an endpoint that comes back', () => {
    const slow = old.wish('slow-start', '10s')
    const two = aSlice('ns/old').port(80).endpoint('10.0.0.1').endpoint('10.0.0.2')
    const cluster = new Cluster().change(slow, two)
    cluster.decide(0)
    cluster.change(aSlice('ns/old').port(80).endpoint('10.0.0.1')).decide(1000)
    expect(cluster.change(two).weights('ns/old:/TCP', 2000)).toEqual({ '10.0.0.1': 100, '10.0.0.2': 10 })
  })
})

describe('node', () => {
  test('node addresses of the family are told, and NodePort addresses follow them', () => {
    const cluster = new Cluster({ nodePortAddresses: [aCidr('10.9.0.0/16')] }).node('192.168.0.1')
    cluster.store.setLocalIps(['10.9.0.1', '127.0.0.1', '192.168.0.1', 'fd00::1'].map(anIp))
    expect(cluster.decide().node).toEqual({
      nodePorts: { scope: 'listed', ips: ['10.9.0.1'] },
      localhostNodePorts: false,
      localIps: ['10.9.0.1', '127.0.0.1', '192.168.0.1'],
      primaryIp: '192.168.0.1',
      serviceCidrs: [],
    })
    const { ports } = cluster.decide()
    cluster.store.setLocalIps(['10.9.0.1', '10.9.0.2'].map(anIp))
    expect(cluster.decide().node.nodePorts).toEqual({ scope: 'listed', ips: ['10.9.0.1', '10.9.0.2'] })
    expect(cluster.decide().ports).toBe(ports)
  })
})
