import { decodeEndpointSlice, type DecodedSlice } from '../../../src/model/decode-endpoint-slice.ts'
import { decodeNode, type DecodedNode } from '../../../src/model/decode-node.ts'
import { decodeServiceCidr } from '../../../src/model/decode-service-cidr.ts'
import { aSlice, type SliceBuilder } from '../../support/builders.ts'

function slice(object: Record<string, unknown>): DecodedSlice {
  const value = decodeEndpointSlice(object, (text) => text)
  if (!('endpoints' in value)) throw new Error(value.reason)
  return value
}

function sliceOf(builder: SliceBuilder, changes: Record<string, unknown> = {}): DecodedSlice {
  return slice({ ...builder.build(), ...changes })
}

const base = aSlice('ns/web').port(80)

describe('decodeEndpointSlice()', () => {
  test.each<[string, unknown, { ready: boolean; serving: boolean; terminating: boolean }]>([
    ['nothing', undefined, { ready: true, serving: true, terminating: false }],
    [
      'nulls',
      { ready: null, serving: null, terminating: null },
      { ready: true, serving: true, terminating: false },
    ],
    ['not ready', { ready: false }, { ready: false, serving: true, terminating: false }],
    [
      'all',
      { ready: false, serving: false, terminating: true },
      { ready: false, serving: false, terminating: true },
    ],
  ])('decodeEndpointSlice() reads conditions: %s', (_what, conditions, want) => {
    const endpoints = [{ addresses: ['10.0.0.1'], conditions }]
    expect(sliceOf(base.endpoint('10.0.0.1'), { endpoints }).endpoints[0]).toMatchObject(want)
  })

  test('decodeEndpointSlice() reads address, node, hints and weight', () => {
    const built = base
      .endpoint('10.0.0.01', { on: 'a', zones: ['z2', 'z1', 'z1'], nodes: ['a'] })
      .annotation('fairlead.io/weight', '50')
    expect(sliceOf(built)).toMatchObject({
      slice: 'ns/web-1',
      service: 'ns/web',
      family: 'IPv4',
      ports: [{ name: '', protocol: 'TCP', port: 80 }],
      endpoints: [{ ip: '10.0.0.1', nodeName: 'a', zoneHints: ['z1', 'z2'], nodeHints: ['a'], weight: 50 }],
      rejected: [],
    })
  })

  test('decodeEndpointSlice() uses the first address, and passes over endpoints without one', () => {
    const endpoints = [{ addresses: [] }, { addresses: ['10.0.0.1', '10.0.0.2'] }, {}]
    expect(sliceOf(base.endpoint('10.0.0.1'), { endpoints }).endpoints.map(({ ip }) => ip)).toEqual([
      '10.0.0.1',
    ])
  })

  test.each<[string, Record<string, unknown>, string]>([
    ['of type FQDN', { addressType: 'FQDN' }, 'addressType'],
    [
      'without a Service',
      { metadata: { namespace: 'ns', name: 'x' } },
      'metadata.labels[kubernetes.io/service-name]',
    ],
    ['with a bad address', { endpoints: [{ addresses: ['<nil>'] }] }, 'endpoints[0].addresses[0]'],
    [
      'with an address of the wrong family',
      { endpoints: [{ addresses: ['fd00::1'] }] },
      'endpoints[0].addresses[0]',
    ],
    ['with a port without a name', { ports: [{ port: 80 }] }, 'ports[0].name'],
    ['with a port without a number', { ports: [{ name: '' }] }, 'ports[0].port'],
    [
      'with a port of no protocol that we know',
      { ports: [{ name: '', port: 1, protocol: 'X' }] },
      'ports[0].protocol',
    ],
  ])('decodeEndpointSlice() refuses a slice %s', (_what, changes, field) => {
    expect(sliceOf(base.endpoint('10.0.0.1'), changes).rejected.map((one) => one.field)).toEqual([field])
  })

  test('decodeEndpointSlice() leaves headless slices to nobody, without a complaint', () => {
    const metadata = {
      namespace: 'ns',
      name: 'x',
      labels: { 'service.kubernetes.io/headless': '', 'kubernetes.io/service-name': 'web' },
    }
    expect(sliceOf(base, { metadata })).toMatchObject({ service: undefined, rejected: [] })
  })

  test('decodeEndpointSlice() refuses a bad weight and uses the usual one', () => {
    const decoded = sliceOf(base.endpoint('10.0.0.1').annotation('fairlead.io/weight', '0'))
    expect(decoded.endpoints[0]?.weight).toBe(100)
    expect(decoded.rejected).toHaveLength(1)
  })
})

describe('decodeNode()', () => {
  const node = (changes: { metadata?: object; spec?: object; status?: object }): DecodedNode => {
    const value = decodeNode({ ...changes, metadata: { name: 'a', ...changes.metadata } })
    if (!('view' in value)) throw new Error(value.reason)
    return value
  }

  test('decodeNode() takes the first InternalIP of each family, then ExternalIPs', () => {
    const addresses = [
      { type: 'Hostname', address: 'a' },
      { type: 'ExternalIP', address: '1.1.1.1' },
      { type: 'ExternalIP', address: 'fd00::9' },
      { type: 'InternalIP', address: '10.0.0.1' },
      { type: 'InternalIP', address: '10.0.0.2' },
    ]
    expect(node({ status: { addresses } }).view.primaryIps).toEqual({ IPv4: '10.0.0.1', IPv6: 'fd00::9' })
  })

  test.each([
    [{}, true],
    [{ metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }, false],
    [{ spec: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler', effect: 'NoSchedule' }] } }, false],
    [{ spec: { taints: [{ key: 'node.kubernetes.io/unreachable' }] } }, true],
  ])('decodeNode() tells whether load balancers may use the node: %j', (changes, want) => {
    expect(node(changes).view.eligible).toBe(want)
  })

  test('decodeNode() reads the zone and the pod networks, and refuses what is none', () => {
    const decoded = node({
      metadata: { labels: { 'topology.kubernetes.io/zone': 'z' } },
      spec: { podCIDR: '10.1.0.0/24', podCIDRs: ['10.1.0.0/24', 'x'] },
      status: { addresses: [{ type: 'InternalIP', address: 'y' }] },
    })
    expect(decoded.view).toMatchObject({ zone: 'z', podCidrs: ['10.1.0.0/24'] })
    expect(decoded.rejected.map(({ field }) => field)).toEqual([
      'status.addresses[0].address',
      'spec.podCIDRs[1]',
    ])
    expect(node({ spec: { podCIDR: '10.2.0.0/24' } }).view.podCidrs).toEqual(['10.2.0.0/24'])
  })
})

describe('decodeServiceCidr()', () => {
  test('decodeServiceCidr() reads networks and refuses what is none', () => {
    expect(decodeServiceCidr({ metadata: { name: 'k' }, spec: { cidrs: ['10.0.0.1/16', 7] } })).toEqual({
      name: 'k',
      cidrs: ['10.0.0.0/16'],
      rejected: [
        {
          kind: 'ServiceCIDR',
          object: 'k',
          resourceVersion: '',
          field: 'spec.cidrs[1]',
          reason: '7 is not a network; the entry is left out',
        },
      ],
    })
  })
})
