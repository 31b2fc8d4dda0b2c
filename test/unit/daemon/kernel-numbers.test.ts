import type { Backend } from '../../../src/backends/backend.ts'
import { KernelNumbers, type KernelNumbersOptions } from '../../../src/daemon/kernel-numbers.ts'
import type { ServiceConnections } from '../../../src/metrics/proxy-metrics.ts'
import type { ServicePortKey } from '../../../src/model/service-port.ts'
import type { KernelObject } from '../../../src/netfilter/kernel-state.ts'
import type { FamilyPipeline } from '../../../src/sync/family-pipeline.ts'
import { aForwarding, aPort } from '../../support/forwarding-builder.ts'
import { ManualClock } from '../../support/manual-clock.ts'

let clock: ManualClock
let told: { fill?: readonly number[]; dropped?: number; connections?: readonly ServiceConnections[] }
beforeEach(() => {
  clock = new ManualClock(1000)
  told = {}
})

function pipeline(backend: Partial<Backend<KernelObject>>): FamilyPipeline<KernelObject> {
  const ports = ['a', 'b'].map((port) => aPort('ns/web', { port }).clusterIp('10.0.0.1'))
  const forwarding = aForwarding(ports)
  // Only what the numbers are made of.
  return { family: 'IPv4', backend, forwarding } as unknown as FamilyPipeline<KernelObject>
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
    await numbers({ invalidDropped: async () => Promise.resolve(7) }).refresh()
    expect(told).toEqual({ fill: [12, 262144], dropped: 7 })
  })

  test('adds up the connections of the ports of a Service', async () => {
    const counted = new Map([
      ['ns/web:a/TCP', 2],
      ['ns/web:b/TCP', 3],
      ['ns/gone:/TCP', 9],
    ] as [ServicePortKey, number][])
    await numbers({ connections: async () => Promise.resolve(counted) }).refresh()
    expect(told.connections).toEqual([{ namespace: 'ns', service: 'web', family: 'IPv4', count: 5 }])
    expect(told.dropped).toBeUndefined()
  })

  test('leaves out what cannot be read, and tells the rest', async () => {
    await numbers({ invalidDropped: async () => Promise.reject(new Error('no')) }).refresh()
    expect(told).toEqual({ fill: [12, 262144] })
  })

  test('reads once for scrapes that follow each other closely', async () => {
    let reads = 0
    const each = numbers({ invalidDropped: async () => Promise.resolve(++reads) })
    await each.refresh()
    await Promise.all([each.refresh(), each.refresh()])
    expect(reads).toBe(1)
    await clock.advance(10_000)
    await each.refresh()
    expect(reads).toBe(2)
  })

  test('keeps no scrape waiting for a kernel that does not answer', async () => {
    const each = numbers({}, { read: async () => new Promise(() => undefined) })
    const waiting = each.refresh()
    await clock.advance(2000)
    await waiting
    expect(told).toEqual({})
  })
})
