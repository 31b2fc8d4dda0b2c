/** Whatever the API server (or somebody in its place) sends, the model refuses it in words and never throws. */
import fc from 'fast-check'
import { ForwardingDecider } from '../../src/forwarding/decide-forwarding.ts'
import { ClusterStore } from '../../src/model/cluster-store.ts'
import { decodeEndpointSlice } from '../../src/model/decode-endpoint-slice.ts'
import { decodeNode } from '../../src/model/decode-node.ts'
import { decodeServiceCidr } from '../../src/model/decode-service-cidr.ts'
import { decodeService } from '../../src/model/decode-service.ts'
import type { Rejected } from '../../src/model/rejected.ts'
import type { ResourceKind } from '../../src/model/resource-event.ts'
import { FAMILIES } from '../../src/net/ip.ts'
import { aService, aSlice } from '../support/builders.ts'

const KINDS: readonly ResourceKind[] = ['Service', 'EndpointSlice', 'Node', 'ServiceCIDR']

const decoders: Readonly<Record<ResourceKind, (value: unknown) => unknown>> = {
  Service: decodeService,
  EndpointSlice: (value) => decodeEndpointSlice(value, (text) => text),
  Node: decodeNode,
  ServiceCIDR: decodeServiceCidr,
}

const hostileText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '__proto__',
    'constructor',
    "'; delete table ip kube-proxy; '",
    'a\nb',
    'a\u202eb',
    '\u0000',
    '$(reboot)',
    '../../etc',
    '1.2.3.4\n',
    '0.0.0.0/0 ',
    'x'.repeat(300),
    '00000000000000000001.2.3.4',
    '::ffff:1.2.3.4',
    'fe80::1%eth0',
  ),
)

const junk = fc.oneof(fc.jsonValue({ maxDepth: 3 }), hostileText)

/** Replaces some values somewhere inside a good object by junk. */
const spoiled = (good: unknown): fc.Arbitrary<unknown> =>
  fc.array(fc.tuple(fc.nat(), junk), { minLength: 1, maxLength: 4 }).map((changes) => {
    const copy = JSON.parse(JSON.stringify(good)) as unknown
    for (const [n, value] of changes) {
      const places = placesOf(copy)
      const place = places[n % places.length]
      if (place !== undefined) place.holder[place.key] = value
    }
    return copy
  })

interface Place {
  readonly holder: Record<string, unknown>
  readonly key: string
}

function placesOf(value: unknown): Place[] {
  if (typeof value !== 'object' || value === null) return []
  const holder = value as Record<string, unknown>
  return Object.keys(holder).flatMap((key) => [{ holder, key }, ...placesOf(holder[key])])
}

const goodService = aService('ns/web')
  .clusterIp('10.0.0.1', 'fd00::1')
  .nodePort(80, 30080)
  .loadBalancer('1.2.3.4')
  .externalIp('5.6.7.8')
  .sourceRanges('10.0.0.0/8')
  .externalLocal(31000)
  .affinity(10)
  .label('x', 'y')
  .wish('port-range', '80-90')
  .wish('slow-start', '30s')
  .wish('weights', '10.0.0.5=50, node-a=200')
  .wish('on-endpoint-removal', 'drain=30s')
  .build()
const goodSlice = aSlice('ns/web')
  .port(8080)
  .endpoint('10.1.0.1', { on: 'n', zones: ['a'], nodes: ['n'] })
  .annotation('fairlead.io/weight', '50')
  .build()
const goodNode = {
  metadata: { name: 'n', labels: { 'topology.kubernetes.io/zone': 'a' } },
  spec: { podCIDRs: ['10.1.0.0/24'], taints: [{ key: 'x' }] },
  status: { addresses: [{ type: 'InternalIP', address: '192.168.0.2' }] },
}
const goodCidr = { metadata: { name: 'kubernetes' }, spec: { cidrs: ['10.0.0.0/16', 'fd00::/112'] } }
const GOOD: Readonly<Record<ResourceKind, unknown>> = {
  Service: goodService,
  EndpointSlice: goodSlice,
  Node: goodNode,
  ServiceCIDR: goodCidr,
}

/** One line, of bounded length, that cannot move a cursor or turn text around. */
function expectPrintable(rejected: Rejected): void {
  const text = Object.values(rejected).join(' ')
  expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
  expect(text.length).toBeLessThan(2500)
}

describe('decode', () => {
  test.each(KINDS)('decode of a %s takes any JSON without throwing', (kind) => {
    fc.assert(fc.property(junk, (value) => void decoders[kind](value)))
    fc.assert(fc.property(fc.anything(), (value) => void decoders[kind](value)))
  })

  test.each(KINDS)(
    'decode of a spoiled %s refuses parts in printable words, and the pipeline goes on',
    (kind) => {
      fc.assert(
        fc.property(spoiled(GOOD[kind]), (value) => {
          const store = new ClusterStore({ nodeName: 'n' })
          for (const resource of KINDS) store.apply({ type: 'changed', resource, object: GOOD[resource] })
          store.apply({ type: 'changed', resource: kind, object: value })
          const snapshot = store.snapshot()
          store.rejections().forEach(expectPrintable)
          for (const family of FAMILIES) {
            const options = { hasDetector: true, masqueradeAll: false, nodePortAddresses: 'all' as const }
            new ForwardingDecider({
              ...options,
              family,
              localhostNodePorts: true,
              externalIpCidrs: undefined,
            }).decide(snapshot)
          }
          store.apply({ type: 'deleted', resource: kind, object: value })
          store.apply({ type: 'page', resource: kind, first: true, objects: [value] })
          store.apply({ type: 'listed', resource: kind })
          store.snapshot()
        }),
        { numRuns: 300 },
      )
    },
  )

  test('decode lets no name through that could end a key, a comment or a command', () => {
    fc.assert(
      fc.property(hostileText, hostileText, (name, port) => {
        const store = new ClusterStore({ nodeName: 'n' })
        const built = aService('ns/x').clusterIp('10.0.0.1').port(80, { name: port }).build()
        store.apply({
          type: 'changed',
          resource: 'Service',
          object: { ...built, metadata: { namespace: 'ns', name } },
        })
        for (const key of store.snapshot().families.IPv4.servicePorts.keys())
          expect(key).toMatch(/^ns\/[A-Za-z0-9._-]{1,253}:[A-Za-z0-9._-]{0,253}\/TCP$/)
      }),
    )
  })

  test('decode reads a slice of a hundred thousand endpoints and an annotation of a megabyte', () => {
    const endpoints = Array.from({ length: 100_000 }, (_, i) => ({
      addresses: [`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`],
    }))
    const slice = decodeEndpointSlice(
      { ...goodSlice, endpoints: [...endpoints, { addresses: ['x'] }] },
      (text) => text,
    )
    expect('endpoints' in slice && slice.endpoints.length).toBe(100_000)
    const megabyte = 'drain='.padEnd(1_000_000, '9')
    const service = aService('ns/web')
      .clusterIp('10.0.0.1')
      .port(80)
      .wish('on-endpoint-removal', megabyte)
      .build()
    const decoded = decodeService(service)
    expect('ports' in decoded && decoded.ports[0]?.wishes.onEndpointRemoval).toEqual({ action: 'default' })
    expect('rejected' in decoded && decoded.rejected.map(({ reason }) => reason.length < 300)).toEqual([true])
  })
})
