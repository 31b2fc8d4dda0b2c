import { decodeService, type DecodedService } from '../../../src/model/decode-service.ts'
import type { ServicePort } from '../../../src/model/service-port.ts'
import type { Family } from '../../../src/net/ip.ts'
import { aService, type ServiceBuilder } from '../../support/builders.ts'

function decoded(builder: ServiceBuilder | Record<string, unknown>): DecodedService {
  const value = decodeService(
    'build' in builder && typeof builder.build === 'function' ? builder.build() : builder,
  )
  if (!('ports' in value)) throw new Error(value.reason)
  return value
}

function port(builder: ServiceBuilder, family: Family = 'IPv4'): ServicePort {
  const found = decoded(builder).ports.find((one) => one.family === family)
  if (found === undefined) throw new Error(`no port of ${family}`)
  return found
}

function refusals(builder: ServiceBuilder): string[] {
  return decoded(builder).rejected.map(({ field, reason }) => `${field}: ${reason}`)
}

const web = aService('ns/web').clusterIp('172.30.0.1').port(80)

describe('decodeService()', () => {
  test('decodeService() makes one service port for each port and family', () => {
    const service = aService('ns/web')
      .clusterIp('172.30.0.1', 'fd00::1')
      .port(80, { name: 'a' })
      .port(53, { name: 'b', protocol: 'UDP' })
    expect(decoded(service).ports.map(({ key, family, clusterIp }) => [key, family, clusterIp])).toEqual([
      ['ns/web:a/TCP', 'IPv4', '172.30.0.1'],
      ['ns/web:b/UDP', 'IPv4', '172.30.0.1'],
      ['ns/web:a/TCP', 'IPv6', 'fd00::1'],
      ['ns/web:b/UDP', 'IPv6', 'fd00::1'],
    ])
  })

  test.each<[string, ServiceBuilder]>([
    ['headless', web.with({ clusterIP: 'None', clusterIPs: ['None'] })],
    ['without an address', web.with({ clusterIP: '', clusterIPs: [] })],
    ['of type ExternalName', web.with({ type: 'ExternalName' })],
    [
      'of another proxy, by any value of the label',
      web.label('service.kubernetes.io/service-proxy-name', ''),
    ],
  ])('decodeService() serves no Service %s, and does not complain', (_what, builder) => {
    expect(decoded(builder)).toEqual({ service: 'ns/web', ports: [], rejected: [] })
  })

  test('decodeService() reads the only address of objects from before dual stack', () => {
    const old = web.with({ clusterIP: '172.30.0.041', clusterIPs: undefined, ipFamilies: undefined })
    expect(port(old).clusterIp).toBe('172.30.0.41')
    expect(decoded(old).ports).toHaveLength(1)
  })

  test.each<[string, ServiceBuilder, Partial<ServicePort>]>([
    [
      'a node port whatever the type',
      aService('ns/web').clusterIp('172.30.0.1').port(80, { nodePort: 30080 }),
      { nodePort: 30080 },
    ],
    [
      'node port 0 as none',
      aService('ns/web').clusterIp('172.30.0.1').port(80, { nodePort: 0 }),
      { nodePort: undefined },
    ],
    [
      'external IPs of the family, once',
      web.externalIp('1.2.3.4', 'fd00::9', '1.2.3.04', ' '),
      { externalIps: ['1.2.3.4' as never] },
    ],
    [
      'source ranges, trimmed and sorted',
      web.sourceRanges(' 10.0.0.0/8 ', '1.2.3.4/32', 'fd00::/8'),
      { sourceRanges: ['1.2.3.4/32', '10.0.0.0/8'] as never },
    ],
    [
      'a range of length 0 as no limit',
      web.sourceRanges('10.0.0.0/8', '0.0.0.0/0'),
      { sourceRanges: undefined },
    ],
    ['ranges of another family as no limit', web.sourceRanges('fd00::/8'), { sourceRanges: undefined }],
    [
      'a range of length 0 of another family as nothing',
      web.sourceRanges('10.0.0.0/8', '::/0'),
      { sourceRanges: ['10.0.0.0/8'] as never },
    ],
    ['affinity with its timeout', web.affinity(60), { affinitySeconds: 60 }],
    ['affinity without a timeout', web.with({ sessionAffinity: 'ClientIP' }), { affinitySeconds: 10800 }],
    ['no affinity', web, { affinitySeconds: undefined }],
    ['internal policy Local', web.internalLocal(), { internalTrafficPolicy: 'Local' }],
    [
      'external policy Local of a ClusterIP as nothing',
      web.externalLocal(),
      { externalTrafficPolicy: 'Cluster' },
    ],
    [
      'external policy Local with external IPs',
      web.externalLocal().externalIp('1.2.3.4'),
      { externalTrafficPolicy: 'Local' },
    ],
    [
      'external policy Local of a NodePort',
      web.with({ type: 'NodePort' }).externalLocal(31000),
      { externalTrafficPolicy: 'Local', healthCheckNodePort: undefined },
    ],
    ['a health check port', web.loadBalancer().externalLocal(31000), { healthCheckNodePort: 31000 }],
    [
      'no health check port under policy Cluster',
      web.loadBalancer().with({ healthCheckNodePort: 31000 }),
      { healthCheckNodePort: undefined },
    ],
    [
      'load balancer IPs of mode VIP or none',
      web.loadBalancer('1.1.1.1', { ip: '2.2.2.2' }, { ip: '3.3.3.3', ipMode: 'Proxy' }, { hostname: 'x' }),
      { loadBalancerIps: ['1.1.1.1', '2.2.2.2'] as never },
    ],
    [
      'an override of the mode to proxy',
      web.loadBalancer('1.1.1.1').wish('ip-mode', 'proxy'),
      { loadBalancerIps: [] },
    ],
    [
      'an override of the mode to vip',
      web.loadBalancer({ ip: '1.1.1.1', ipMode: 'Proxy' }).wish('ip-mode', 'VIP'),
      { loadBalancerIps: ['1.1.1.1' as never] },
    ],
    ['the creation time', web, { createdMs: Date.parse('2026-01-01T00:00:00Z'), uid: 'uid-ns-web' }],
    [
      'an unknown creation time as the newest',
      web.createdAt('yesterday'),
      { createdMs: Number.MAX_SAFE_INTEGER },
    ],
  ])('decodeService() reads %s', (_what, builder, want) => {
    expect(port(builder)).toMatchObject(want)
  })

  test.each<[string, ServiceBuilder, string]>([
    [
      'a bad cluster IP',
      web.with({ clusterIPs: ['nonsense'] }),
      'spec.clusterIPs[0]: "nonsense" is not an IP address of its family; the Service has none in this family',
    ],
    [
      'a cluster IP of the wrong family',
      web.with({ clusterIPs: ['fd00::1'] }),
      'spec.clusterIPs[0]: "fd00::1" is not an IP address of its family; the Service has none in this family',
    ],
    [
      'a bad external IP',
      web.externalIp('a\nb'),
      'spec.externalIPs[0]: "a\\u{a}b" is not an IP address; the entry is left out',
    ],
    [
      'a bad range',
      web.sourceRanges('10/8'),
      'spec.loadBalancerSourceRanges[0]: "10/8" is not a network; the entry is left out',
    ],
    [
      'a bad policy',
      web.with({ internalTrafficPolicy: 'Near' }),
      'spec.internalTrafficPolicy: "Near" is not Cluster or Local; Cluster holds',
    ],
    [
      'a bad affinity',
      web.with({ sessionAffinity: 'Cookie' }),
      'spec.sessionAffinity: "Cookie" is not ClientIP or None; None holds',
    ],
    [
      'a bad timeout',
      web.affinity(90000),
      'spec.sessionAffinityConfig.clientIP.timeoutSeconds: 90000 is not a number from 1 to 86400; 10800 holds',
    ],
    [
      'a bad mode',
      web.loadBalancer({ ip: '1.1.1.1', ipMode: 'Magic' }),
      'status.loadBalancer.ingress[0].ipMode: "Magic" is not VIP or Proxy; the entry is left out',
    ],
    [
      'a bad port',
      web.with({}).port(70000, { name: 'b' }),
      'spec.ports[1].port: 70000 is not a port number; the port is left out',
    ],
    [
      'a bad protocol',
      web.port(81, { name: 'b', protocol: 'ICMP' as never }),
      'spec.ports[1].protocol: "ICMP" is not TCP, UDP or SCTP; the port is left out',
    ],
    [
      'a second port of one name',
      web.port(81),
      'spec.ports[1].name: "" is taken by an earlier port; the port is left out',
    ],
    [
      'a bad node port',
      web.port(81, { name: 'b', nodePort: -1 }),
      'spec.ports[1].nodePort: -1 is not a port number; the port has no NodePort',
    ],
  ])('decodeService() refuses %s and keeps the rest', (_what, builder, want) => {
    expect(refusals(builder)).toEqual([want])
  })

  test('decodeService() refuses an object without a usable name as a whole', () => {
    expect(decodeService({ metadata: { name: 'a b', namespace: 'ns' } })).toMatchObject({
      kind: 'Service',
      field: 'metadata.name',
      reason: '"a b" is not a name; the object is left out',
    })
    expect(decodeService(null)).toMatchObject({ field: 'metadata.name' })
  })

  test('decodeService() names a bounded number of refused fields and counts the others', () => {
    const many = web.externalIp(...Array.from({ length: 100 }, (_, i) => `x${i}`))
    expect(refusals(many)).toHaveLength(21)
    expect(refusals(many).at(-1)).toBe('*: 80 more fields are refused')
  })
})

describe('decodeWishes()', () => {
  test.each([
    ['ipvs-scheduler', 'wlc', { ipvsScheduler: 'wlc' }],
    ['algorithm', 'source-hash', { algorithm: 'source-hash' }],
    ['slow-start', '1m30s', { slowStartSeconds: 90 }],
    ['on-endpoint-removal', 'drain', { onEndpointRemoval: { action: 'drain', seconds: undefined } }],
    ['on-endpoint-removal', 'drain=30s', { onEndpointRemoval: { action: 'drain', seconds: 30 } }],
    ['on-endpoint-removal', 'reset', { onEndpointRemoval: { action: 'reset' } }],
    ['source-ranges-on-nodeport', 'true', { sourceRangesOnNodePort: true }],
    ['port-range', '70-90', { portRange: { first: 70, last: 90 } }],
    ['port-range', '10-20, 80-90', { portRange: { first: 80, last: 90 } }],
    ['weights', 'b=200, 10.0.0.05=50', { weights: { '10.0.0.5': 50, b: 200 } }],
  ])('decodeWishes() reads %s: %s', (name, value, want) => {
    expect(port(web.wish(name, value)).wishes).toMatchObject(want)
  })

  test.each([
    ['ipvs-scheduler', 'rr; reboot'],
    ['algorithm', 'best'],
    ['slow-start', '0s'],
    ['slow-start', 'soon'],
    ['slow-start', '25h'],
    ['on-endpoint-removal', 'drain=forever'],
    ['source-ranges-on-nodeport', 'yes'],
    ['port-range', '90-80'],
    ['port-range', '0-80'],
    ['port-range', '80-65536'],
    ['port-range', '80-85,84-90'],
    ['port-range', '100-200'],
    ['ip-mode', 'both'],
    ['weights', 'a=0'],
    ['weights', '=5'],
    ['weights', 'a=1001'],
  ])('decodeWishes() refuses %s: %s and treats it as absent', (name, value) => {
    const builder = web.wish(name, value)
    expect(decoded(builder).rejected.map(({ field }) => field)).toEqual([
      `metadata.annotations[fairlead.io/${name}]`,
    ])
    expect(port(builder).wishes).toEqual(port(web).wishes)
  })

  test('decodeWishes() gives a port range to the ports inside it alone', () => {
    const service = aService('ns/web')
      .clusterIp('172.30.0.1')
      .port(5060, { name: 'sip' })
      .port(10000, { name: 'rtp', protocol: 'UDP' })
      .wish('port-range', '10000-20000')
    expect(decoded(service).ports.map(({ wishes }) => wishes.portRange)).toEqual([
      undefined,
      { first: 10000, last: 20000 },
    ])
  })
})
