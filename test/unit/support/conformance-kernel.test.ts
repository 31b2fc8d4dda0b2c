import type { ConformanceCase, ConformanceFlow, Outcome } from '../../conformance/conformance-case.ts'
import {
  complaint,
  hopesFor,
  toleratedOutcome,
  wantedOutcome,
} from '../../support/conformance-kernel-judge.ts'
import { layoutOf, listenersOf } from '../../support/conformance-kernel-layout.ts'
import type { Sighting } from '../../support/packet-prober.ts'

const FLOW: ConformanceFlow = {
  name: 'pod to cluster IP',
  from: 'pod',
  sourceIp: '10.0.0.2',
  protocol: 'TCP',
  destIp: '172.30.0.1',
  destPort: 80,
  grade: 'asserted',
  expect: { kind: 'reject' },
  expectBy: {},
  affinitySeconds: undefined,
}

const A = '10.180.0.1:80'
const B = '10.180.0.2:80'
const KEPT: Outcome = { kind: 'dnat', endpoints: [A, B], masq: false }
const MASQUERADED: Outcome = { kind: 'dnat', endpoints: [A, B], masq: true }
const at = (endpoint: string, seenIp = '10.0.0.2'): Sighting => ({ kind: 'dnat', endpoint, seenIp, count: 1 })
const DROPPED: Sighting = { kind: 'drop', count: 1 }
const REJECTED: Sighting = { kind: 'reject', code: 'ECONNREFUSED', count: 1 }
const UNTOUCHED: Sighting = { kind: 'none', place: 'world', seenIp: '10.0.0.2', count: 1 }

describe('complaint()', () => {
  test.each<{ name: string; wanted: Outcome; seen: Sighting[]; flow?: Partial<ConformanceFlow> }>([
    { name: 'every endpoint with the source kept', wanted: KEPT, seen: [at(A), at(B)] },
    {
      name: 'every endpoint masqueraded',
      wanted: MASQUERADED,
      seen: [at(A, '100.64.2.1'), at(B, '100.64.3.1')],
    },
    { name: 'one endpoint of a sticky client', wanted: KEPT, seen: [at(B)], flow: { affinitySeconds: 10 } },
    { name: 'a refusal', wanted: { kind: 'reject' }, seen: [REJECTED] },
    { name: 'a refusal by the own host', wanted: { kind: 'reject' }, seen: [{ kind: 'not-sent', count: 1 }] },
    { name: 'silence', wanted: { kind: 'drop' }, seen: [DROPPED] },
    { name: 'an untouched packet', wanted: { kind: 'none' }, seen: [UNTOUCHED] },
    {
      name: 'a health check that is let in',
      wanted: { kind: 'accept' },
      seen: [{ ...UNTOUCHED, place: 'node' }],
    },
  ])('complaint() accepts $name', ({ wanted, seen, flow }) => {
    expect(complaint({ ...FLOW, ...flow }, wanted, seen)).toBeUndefined()
  })

  test.each<{ name: string; wanted: Outcome; seen: Sighting[]; flow?: Partial<ConformanceFlow> }>([
    { name: 'an endpoint that is missing', wanted: KEPT, seen: [at(A)] },
    { name: 'an endpoint too many', wanted: KEPT, seen: [at(A), at(B), at('10.180.0.3:80')] },
    { name: 'a masqueraded source that should be kept', wanted: KEPT, seen: [at(A, '100.64.2.1'), at(B)] },
    { name: 'a kept source that should be masqueraded', wanted: MASQUERADED, seen: [at(A), at(B)] },
    { name: 'one dropped packet among answers', wanted: KEPT, seen: [at(A), at(B), DROPPED] },
    {
      name: 'a client that does not stick',
      wanted: KEPT,
      seen: [at(A), at(B)],
      flow: { affinitySeconds: 10 },
    },
    { name: 'silence instead of a refusal', wanted: { kind: 'reject' }, seen: [DROPPED] },
    { name: 'a refusal instead of silence', wanted: { kind: 'drop' }, seen: [REJECTED] },
    { name: 'a refusal of an untouched packet', wanted: { kind: 'none' }, seen: [REJECTED] },
    {
      name: 'a masqueraded packet',
      wanted: { kind: 'none' },
      seen: [{ ...UNTOUCHED, seenIp: '100.64.2.1' }],
    },
    { name: 'no observation at all', wanted: { kind: 'drop' }, seen: [] },
  ])('complaint() objects to $name', ({ wanted, seen, flow }) => {
    expect(complaint({ ...FLOW, ...flow }, wanted, seen)).toMatch(/^(saw|never met|is not sticky)/)
  })

  test('complaint() lets a large pool be sampled, but not be a small one', () => {
    const endpoints = Array.from({ length: 100 }, (_, i) => `10.1.0.${i}:80`)
    const wanted: Outcome = { kind: 'dnat', endpoints, masq: false }
    const met = (count: number): Sighting[] => endpoints.slice(0, count).map((one) => at(one))
    expect(complaint(FLOW, wanted, met(60))).toBeUndefined()
    expect(complaint(FLOW, wanted, met(40))).toContain('never met 60 of 100')
  })
})

describe('wantedOutcome()', () => {
  const differing: ConformanceFlow = {
    ...FLOW,
    expect: undefined,
    expectBy: { iptables: { kind: 'none' }, nftables: { kind: 'reject' } },
  }

  test.each([
    { mode: 'iptables', flow: differing, want: 'none' },
    { mode: 'nftables', flow: differing, want: 'reject' },
    { mode: 'ipvs', flow: differing, want: 'none' },
    { mode: 'ipvs', flow: FLOW, want: 'reject' },
    { mode: 'ipvs', flow: { ...FLOW, grade: 'own', expectBy: { ipvs: { kind: 'none' } } }, want: 'reject' },
  ] as const)('wantedOutcome() of $mode mode is $want', ({ mode, flow, want }) => {
    expect(wantedOutcome(flow, mode)).toEqual({ kind: want })
  })

  test('toleratedOutcome() is the limit of a mode that one of our own cases tells of, and no other', () => {
    const limited: ConformanceFlow = { ...FLOW, expectBy: { ipvs: { kind: 'none' } } }
    expect(toleratedOutcome({ ...limited, grade: 'own' }, 'ipvs')).toEqual({ kind: 'none' })
    expect(toleratedOutcome({ ...limited, grade: 'own' }, 'nftables')).toBeUndefined()
    expect(toleratedOutcome(limited, 'ipvs')).toBeUndefined()
  })

  test('hopesFor() probes a health check port as an untouched packet', () => {
    expect(hopesFor(FLOW, { kind: 'accept' })).toEqual({ kind: 'none', endpoints: [] })
  })
})

describe('layoutOf()', () => {
  const slice = {
    addressType: 'IPv4',
    endpoints: [
      { addresses: ['10.180.00.001'], nodeName: 'here' },
      { addresses: ['10.180.0.2'], nodeName: 'there' },
      { addresses: ['10.180.0.3'] },
      { addresses: ['192.168.0.2'], nodeName: 'here' },
      { addresses: ['10.0.0.2'], nodeName: 'there' },
    ],
    ports: [
      { port: 8080, protocol: 'TCP' },
      { port: 53, protocol: 'UDP' },
    ],
  }
  const given: ConformanceCase = {
    name: 'case',
    source: 'own',
    features: [],
    node: {
      name: 'here',
      ips: ['192.168.0.2'],
      primaryIps: ['192.168.0.2'],
      zone: undefined,
      family: 'IPv4',
      nodePortAddresses: 'all',
      detectorCidr: '10.0.0.0/8',
      masqueradeAll: false,
      localhostNodePorts: false,
      serviceCidrs: [],
    },
    steps: [
      {
        name: 'start',
        services: [],
        endpointSlices: [slice],
        flows: [
          { ...FLOW, expect: { kind: 'dnat', endpoints: ['10.180.0.1:9000'], masq: false } },
          { ...FLOW, from: 'external', sourceIp: '203.0.113.2', protocol: 'UDP' },
        ],
      },
    ],
  }

  test('layoutOf() puts endpoints without this node name elsewhere, and the host network on the node', () => {
    expect(layoutOf(given)).toEqual({
      nodeIps: ['192.168.0.2'],
      localPodIps: ['10.0.0.2', '10.180.0.1'],
      remoteIps: ['10.180.0.2', '10.180.0.3'],
      externalIps: ['203.0.113.2'],
    })
  })

  test('listenersOf() opens every dialled port and every port of an endpoint', () => {
    const { tcp, udp } = listenersOf(given)
    expect(tcp).toEqual([
      { family: 4, port: 80 },
      { family: 4, port: 8080 },
      { family: 4, port: 9000 },
    ])
    expect(udp).toContainEqual({ ip: '172.30.0.1', port: 80 })
    expect(udp).toContainEqual({ ip: '10.180.0.2', port: 53 })
    expect(udp).toHaveLength(6)
  })
})
