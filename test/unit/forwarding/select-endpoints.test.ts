import { selectEndpoints, topologyMode, usedPools } from '../../../src/forwarding/select-endpoints.ts'
import type { Endpoint } from '../../../src/model/endpoint.ts'
import { anIp } from '../../support/decided-case.ts'

function endpoint(n: number, changes: Partial<Endpoint> = {}): Endpoint {
  return {
    ip: anIp(`10.0.0.${n}`),
    port: 80,
    nodeName: undefined,
    ready: true,
    serving: true,
    terminating: false,
    zoneHints: [],
    nodeHints: [],
    weight: 100,
    ...changes,
  }
}

const plain = {
  nodePort: undefined,
  externalIps: [],
  loadBalancerIps: [],
  internalTrafficPolicy: 'Cluster',
  externalTrafficPolicy: 'Cluster',
} as const

describe('selectEndpoints()', () => {
  test.each([
    ['ClusterIP alone', plain, { cluster: true, local: false }],
    [
      'internal Local',
      { ...plain, internalTrafficPolicy: 'Local' as const },
      { cluster: false, local: true },
    ],
    [
      'internal Local and a NodePort',
      { ...plain, internalTrafficPolicy: 'Local' as const, nodePort: 30080 },
      { cluster: true, local: true },
    ],
    [
      'external Local without an external address',
      { ...plain, externalTrafficPolicy: 'Local' as const },
      { cluster: true, local: false },
    ],
    [
      'external Local and an external IP',
      { ...plain, externalTrafficPolicy: 'Local' as const, externalIps: [anIp('1.1.1.1')] },
      { cluster: true, local: true },
    ],
  ])('usedPools() of %s', (_what, given, want) => {
    expect(usedPools(given)).toEqual(want)
  })

  test('topologyMode() never matches a node whose zone is not known', () => {
    expect(topologyMode([endpoint(1, { zoneHints: [''] })], { name: 'a', zone: '' })).toBe('none')
  })

  test('selectEndpoints() knows endpoints elsewhere although no pool has them', () => {
    const given = { ...plain, internalTrafficPolicy: 'Local' as const }
    const place = { name: 'a', zone: '' }
    const draining = { ready: false, serving: true, terminating: true }
    expect(selectEndpoints(given, [endpoint(1, { nodeName: 'b', ...draining })], place)).toMatchObject({
      cluster: [],
      local: [],
      hasAny: true,
    })
    expect(selectEndpoints(given, [endpoint(1, { ready: false })], place).hasAny).toBe(false)
  })

  test('selectEndpoints() takes an endpoint without a node for remote, even on a node without a name', () => {
    const given = { ...plain, internalTrafficPolicy: 'Local' as const }
    expect(selectEndpoints(given, [endpoint(1)], { name: '', zone: '' }).local).toEqual([])
  })
})
