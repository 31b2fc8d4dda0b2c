import { explainEndpoints } from '../../../src/forwarding/explain-endpoints.ts'
import { routePacket } from '../../../src/forwarding/route-packet.ts'
import { nodePortScope } from '../../../src/forwarding/node-port-addresses.ts'
import { decodeService } from '../../../src/model/decode-service.ts'
import { ClusterStore } from '../../../src/model/cluster-store.ts'
import type { ServicePort } from '../../../src/model/service-port.ts'
import { aService, aSlice, type EndpointChoices } from '../../support/builders.ts'
import { aForwarding, aPort, DROP, everyOrigin } from '../../support/forwarding-builder.ts'
import { aCidr, anIp } from '../../support/decided-case.ts'

const detector = { by: 'source' as const, cidr: aCidr('10.0.0.0/8') }

function packet(sourceIp: string, destIp: string, destPort: number) {
  return { sourceIp: anIp(sourceIp), destIp: anIp(destIp), destPort, protocol: 'TCP' as const }
}

describe('routePacket()', () => {
  const forwarding = aForwarding(
    [
      aPort('ns/web')
        .clusterIp('172.30.0.1')
        .loadBalancerIp('1.2.3.4', 80, { sourceRanges: ['203.0.113.0/25'] })
        .nodePort(30080)
        .endpoints('10.1.0.1:8080*', '10.1.0.2:8080'),
      aPort('ns/silent').clusterIp('172.30.0.2', 80, { routes: everyOrigin(DROP) }),
      aPort('ns/range').clusterIp('172.30.0.3', 1000, { lastPort: 2000 }).endpoints('10.1.0.3:1000'),
    ],
    { localIps: ['192.168.0.1', '127.0.0.1'].map(anIp), serviceCidrs: [aCidr('172.30.0.0/16')] },
  )

  test('routePacket() tells how it came to its verdict', () => {
    const routed = routePacket(forwarding, packet('10.0.0.9', '172.30.0.1', 80), detector)
    expect(routed).toMatchObject({ origin: 'pod', key: 'ns/web:/TCP', row: 'internal, policy Cluster' })
    expect(routed.trace).toEqual([
      '10.0.0.9 is a pod',
      '172.30.0.1:80/TCP is a ClusterIP of ns/web:/TCP',
      'row "internal, policy Cluster", column pod: forward to the cluster pool',
    ])
  })

  test.each([
    ['from the node', '192.168.0.1', 'node'],
    ['from loopback', '127.0.0.1', 'node'],
    ['from outside', '8.8.8.8', 'external'],
  ] as const)('routePacket() knows packets %s', (_what, source, origin) => {
    const routed = routePacket(forwarding, packet(source, '172.30.0.1', 80), detector)
    expect(routed.origin).toBe(origin)
    expect(routed.verdict).toMatchObject({
      kind: 'dnat',
      targets: [{ masquerade: true }, { masquerade: true }],
    })
  })

  test.each([
    [{ by: 'interface' as const, name: 'cni0' }, 'cni0', 'pod'],
    [{ by: 'interface' as const, name: 'cni0' }, 'cni00', 'external'],
    [{ by: 'interface-prefix' as const, prefix: 'veth' }, 'veth1', 'pod'],
    [{ by: 'interface-prefix' as const, prefix: 'veth' }, undefined, 'external'],
  ])('routePacket() recognises pods by %j: %s', (by, inInterface, origin) => {
    expect(routePacket(forwarding, { ...packet('8.8.8.8', '172.30.0.1', 80), inInterface }, by).origin).toBe(
      origin,
    )
  })

  test('routePacket() masquerades an endpoint that may answer itself, and only then', () => {
    const { verdict, trace } = routePacket(forwarding, packet('10.1.0.1', '172.30.0.1', 80), detector)
    expect(verdict).toMatchObject({
      targets: [
        { ip: '10.1.0.1', masquerade: true, hairpin: true },
        { ip: '10.1.0.2', masquerade: false, hairpin: false },
      ],
    })
    expect(trace.at(-1)).toBe('10.1.0.1 would answer itself, so it is masqueraded')
  })

  test('routePacket() does not masquerade a sender that is an endpoint on another node', () => {
    const { verdict } = routePacket(forwarding, packet('10.1.0.2', '172.30.0.1', 80), detector)
    expect(verdict).toMatchObject({ targets: [{ masquerade: false }, { ip: '10.1.0.2', masquerade: false }] })
  })

  test('routePacket() tests source ranges before everything else', () => {
    const routed = routePacket(forwarding, packet('8.8.8.8', '1.2.3.4', 80), detector)
    expect(routed.verdict).toEqual({ kind: 'drop' })
    expect(routed.trace.at(-1)).toBe('8.8.8.8 is in none of the source ranges')
    expect(routePacket(forwarding, packet('203.0.113.1', '1.2.3.4', 80), detector).verdict.kind).toBe('dnat')
  })

  test('routePacket() keeps the dialled port of a range', () => {
    const { verdict } = routePacket(forwarding, packet('10.0.0.9', '172.30.0.3', 1500), detector)
    expect(verdict).toMatchObject({ targets: [{ ip: '10.1.0.3', port: 1500 }] })
  })

  test.each([
    ['172.30.0.1', 81, 'unused-port'],
    ['172.30.0.99', 80, 'unallocated'],
    ['8.8.8.8', 80, 'not-a-service'],
    ['127.0.0.1', 30080, 'not-a-service'],
  ])('routePacket() leaves %s:%d alone: %s', (dest, port, because) => {
    expect(routePacket(forwarding, packet('10.0.0.9', dest, port), detector).verdict).toEqual({
      kind: 'none',
      because,
    })
  })

  test('routePacket() drops without a row of its own where the route says so', () => {
    expect(routePacket(forwarding, packet('10.0.0.9', '172.30.0.2', 80), detector)).toMatchObject({
      verdict: { kind: 'drop' },
      row: 'internal, policy Local, none local',
    })
  })
})

describe('explainEndpoints()', () => {
  const place = { name: 'here', zone: 'z1' }
  function why(choices: readonly EndpointChoices[], external: 'Cluster' | 'Local' = 'Cluster'): string[] {
    const built = choices.reduce(
      (slice, one, i) => slice.endpoint(`10.0.0.${i}`, one),
      aSlice('ns/web').port(80),
    )
    const store = new ClusterStore({ nodeName: 'here' })
    store.apply({ type: 'changed', resource: 'EndpointSlice', object: built.build() })
    const endpoints = store.snapshot().families.IPv4.endpoints.get('ns/web:/TCP' as never) ?? []
    const service = aService('ns/web')
      .clusterIp('172.30.0.1')
      .nodePort(80, 30080)
      .with({ externalTrafficPolicy: external })
    const decoded = decodeService(service.build()) as { ports: readonly ServicePort[] }
    return explainEndpoints(decoded.ports[0]!, endpoints, place).map(({ clusterPool, localPool }) => {
      const pool = external === 'Local' ? localPool : clusterPool
      return `${pool?.isIn === true ? 'in' : 'out'}: ${pool?.why ?? ''}`
    })
  }
  const draining = { ready: false, serving: true, terminating: true }

  test.each<[string, EndpointChoices[], string[]]>([
    [
      'readiness',
      [{}, { ready: false }, draining],
      ['in: it is ready', 'out: it is not ready', 'out: it is terminating, and others are ready'],
    ],
    [
      'the fallback',
      [draining, { ready: false, serving: false, terminating: true }, { ready: false }],
      [
        'in: it is terminating but still serving, and nothing is ready',
        'out: it is terminating and does not serve any more',
        'out: it is not ready',
      ],
    ],
    [
      'zones',
      [{ zones: ['z1'] }, { zones: ['z2'] }],
      ['in: it is ready and its hint names this zone z1', 'out: its hint names z2, and this is zone z1'],
    ],
    [
      'nodes',
      [{ nodes: ['here'] }, { nodes: ['there'] }],
      [
        'in: it is ready and its hint names this node here',
        'out: its hint names there, and this is node here',
      ],
    ],
  ])('explainEndpoints() tells about %s', (_what, choices, want) => {
    expect(why(choices)).toEqual(want)
  })

  test('explainEndpoints() tells about the local pool', () => {
    expect(why([{ on: 'here' }, { on: 'there' }, {}, { on: 'here', ready: false }], 'Local')).toEqual([
      'in: it is ready and on this node',
      'out: it is on node there',
      'out: it names no node',
      'out: it is not ready',
    ])
    expect(why([{ on: 'here', ...draining }], 'Local')).toEqual([
      'in: it is terminating but still serving, and nothing on this node is ready',
    ])
  })
})

describe('nodePortScope()', () => {
  const node = {
    localIps: ['10.0.0.1', '127.0.0.1', '192.168.0.1', '::1', 'fd00::1'].map(anIp),
    primaryIps: { IPv4: anIp('10.0.0.1') },
  }
  const options = { family: 'IPv4' as const, localhostNodePorts: true }

  test.each([
    ['all', { scope: 'all' }, true],
    [['0.0.0.0/0', '10.0.0.0/8'], { scope: 'all' }, true],
    [['fd00::/8'], { scope: 'all' }, true],
    [['10.0.0.0/8'], { scope: 'listed', ips: ['10.0.0.1'] }, false],
    [['127.0.0.0/8', '10.0.0.0/8'], { scope: 'listed', ips: ['10.0.0.1'] }, true],
    [['127.0.0.1/32'], { scope: 'listed', ips: [] }, true],
    [['64.0.0.0/2'], { scope: 'listed', ips: [] }, true],
    ['primary', { scope: 'listed', ips: ['10.0.0.1'] }, false],
  ] as const)('nodePortScope() of %j in IPv4', (spec, nodePorts, localhostNodePorts) => {
    const given = typeof spec === 'string' ? spec : spec.map(aCidr)
    expect(nodePortScope(given, node, options)).toEqual({ nodePorts, localhostNodePorts })
  })

  test('nodePortScope() opens nothing for a primary address that is not known, and no localhost in IPv6', () => {
    expect(nodePortScope('primary', node, { ...options, family: 'IPv6' })).toEqual({
      nodePorts: { scope: 'listed', ips: [] },
      localhostNodePorts: false,
    })
    expect(nodePortScope('all', node, { ...options, family: 'IPv6' }).localhostNodePorts).toBe(false)
  })
})
