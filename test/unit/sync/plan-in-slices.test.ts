import type { ServiceKey } from '../../../src/model/service-port.ts'
import { plansInSlices } from '../../../src/sync/plan-in-slices.ts'
import { aForwarding, aPort } from '../../support/forwarding-builder.ts'
import { MemoryBackend } from '../../support/memory-backend.ts'

test('plansInSlices() never plans some ports of a Service without the others', async () => {
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
