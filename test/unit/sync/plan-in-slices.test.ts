import type { ServiceKey } from '../../../src/model/service-port.ts'
import { plansInSlices } from '../../../src/sync/plan-in-slices.ts'
import { aForwarding, aPort } from '../../support/forwarding-builder.ts'
import { MemoryBackend } from '../../support/memory-backend.ts'

test('plansInSlices() never shows some ports of a Service without the others', async () => {
  const forwarding = aForwarding(
    Array.from({ length: 2000 }, (_, i) => i).flatMap((i) =>
      ['http', 'https', 'metrics'].map((port, n) =>
        aPort(`ns/s${i}`, { port })
          .clusterIp(`10.0.${i >> 8}.${i & 255}`, 80 + n)
          .endpoints('10.1.0.1:80'),
      ),
    ),
  )
  let plans = 0
  for await (const { forwarding: part } of plansInSlices(new MemoryBackend(), forwarding, undefined)) {
    plans++
    const ports = new Map<ServiceKey, number>()
    for (const { service } of part.ports.values()) ports.set(service, (ports.get(service) ?? 0) + 1)
    expect(new Set(ports.values())).toEqual(new Set([3]))
  }
  expect(plans).toBeGreaterThan(5)
})

test('plansInSlices() gives others a turn between the ports of a very large Service', async () => {
  const endpoints = Array.from({ length: 5000 }, (_, i) => `10.1.${i >> 8}.${i & 255}:80`)
  const ports = ['http', 'https', 'metrics'].map((port, n) =>
    aPort('ns/large', { port })
      .clusterIp('10.0.0.1', 80 + n)
      .endpoints(...endpoints),
  )
  const backend = new MemoryBackend()
  const planned: number[] = []
  const plan = backend.plan.bind(backend)
  backend.plan = (forwarding) => {
    planned.push(forwarding.ports.size)
    return plan(forwarding)
  }
  const yielded: number[] = []
  for await (const { forwarding } of plansInSlices(backend, aForwarding(ports), undefined))
    yielded.push(forwarding.ports.size)
  expect(planned).toEqual([1, 2, 3, 3])
  expect(yielded).toEqual([3, 3])
})
