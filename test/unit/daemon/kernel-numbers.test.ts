import type { Backend } from '../../../src/backends/backend.ts'
import { KernelNumbers, type KernelNumbersOptions } from '../../../src/daemon/kernel-numbers.ts'
import type { ServiceConnections } from '../../../src/metrics/proxy-metrics.ts'
import type { ServicePortKey } from '../../../src/model/service-port.ts'
import type { KernelObject } from '../../../src/netfilter/kernel-state.ts'
import { observedState } from '../../../src/netfilter/kernel-state.ts'
import type { FamilyPipeline } from '../../../src/sync/family-pipeline.ts'
import { aForwarding, aPort } from '../../support/forwarding-builder.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const INVALID = {
  kind: 'chain',
  key: 'filter/FL-INVALID',
  text: 'x 2',
  rules: ['-m set --match-set S src -j DROP', '-d 10.0.0.0/8 -j DROP'],
}
const FORWARD = { kind: 'chain', key: 'filter/KUBE-FORWARD', text: 'y 1', rules: ['-m mark -j ACCEPT'] }

let clock: ManualClock
let told: { fill?: readonly number[]; dropped?: number; connections?: readonly ServiceConnections[] }
beforeEach(() => {
  clock = new ManualClock(1000)
  told = {}
})

function pipeline(backend: Partial<Backend<KernelObject>>): FamilyPipeline<KernelObject> {
  const ports = ['a', 'b'].map((port) => aPort('ns/web', { port }).clusterIp('10.0.0.1'))
  const forwarding = aForwarding(ports)
  const believed = observedState([INVALID, FORWARD])
  // Only what the numbers are made of.
  return { family: 'IPv4', backend, forwarding, believed } as unknown as FamilyPipeline<KernelObject>
}

function numbers(
  backend: Partial<Backend<KernelObject>>,
  more: Partial<KernelNumbersOptions> = {},
): KernelNumbers {
  return new KernelNumbers({
    metrics: {
      setConntrackFill: (entries, limit) => void (told.fill = [entries, limit]),
      setPacketTotals: ({ invalidDropped }) => void (told.dropped = invalidDropped),
      setServiceConnections: (services) => void (told.connections = services),
    },
    pipelines: () => [pipeline(backend)],
    clock,
    signal: new AbortController().signal,
    read: async (path) => Promise.resolve(path.endsWith('count') ? '12\n' : '262144\n'),
    ...more,
  })
}

describe('KernelNumbers', () => {
  test('tells how full connection tracking is, and what rules have dropped as invalid', async () => {
    const counters = async () =>
      Promise.resolve(
        new Map([
          ['filter/FL-INVALID', [3, 4]],
          ['filter/KUBE-FORWARD', [500]],
        ]),
      )
    await numbers({ name: 'iptables', counters }).refresh()
    expect(told).toEqual({ fill: [12, 262144], dropped: 7 })
  })

  test('adds up the connections of the ports of a Service', async () => {
    const counted = new Map([
      ['ns/web:a/TCP', 2],
      ['ns/web:b/TCP', 3],
      ['ns/gone:/TCP', 9],
    ] as [ServicePortKey, number][])
    await numbers({ name: 'ipvs', connections: async () => Promise.resolve(counted) }).refresh()
    expect(told.connections).toEqual([{ namespace: 'ns', service: 'web', family: 'IPv4', count: 5 }])
    expect(told.dropped).toBeUndefined()
  })

  test('leaves out what cannot be read, and tells the rest', async () => {
    const counters = async () => Promise.reject(new Error('no'))
    await numbers({ name: 'iptables', counters }).refresh()
    expect(told).toEqual({ fill: [12, 262144] })
  })

  test('reads once for scrapes that follow each other closely', async () => {
    let reads = 0
    const counters = async () => Promise.resolve(new Map([['filter/FL-INVALID', [++reads, 0]]]))
    const each = numbers({ name: 'iptables', counters })
    await each.refresh()
    await Promise.all([each.refresh(), each.refresh()])
    expect(reads).toBe(1)
    await clock.advance(10_000)
    await each.refresh()
    expect(reads).toBe(2)
  })

  test('keeps no scrape waiting for a kernel that does not answer', async () => {
    const each = numbers({ name: 'iptables' }, { read: async () => new Promise(() => undefined) })
    const waiting = each.refresh()
    await clock.advance(2000)
    await waiting
    expect(told).toEqual({})
  })
})
