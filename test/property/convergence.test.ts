/** Laws of the loop: whatever the order of events and whatever fails on the way, the kernel ends as a fresh start has it. */
import fc from 'fast-check'
import { ForwardingDecider } from '../../src/forwarding/decide-forwarding.ts'
import type { KernelError } from '../../src/kernel/kernel-error.ts'
import { ClusterStore } from '../../src/model/cluster-store.ts'
import type { ResourceEvent } from '../../src/model/resource-event.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { Reconciler } from '../../src/sync/reconciler.ts'
import { kernelError, MemoryBackend } from '../support/memory-backend.ts'

const { signal } = new AbortController()
const OPTIONS = {
  family: 'IPv4',
  hasDetector: true,
  masqueradeAll: false,
  nodePortAddresses: 'all',
  localhostNodePorts: false,
  externalIpCidrs: undefined,
} as const

const index = fc.integer({ min: 0, max: 5 })

function service(n: number, port: number): object {
  const clusterIP = `10.96.0.${n + 1}`
  const spec = {
    type: 'ClusterIP',
    clusterIP,
    clusterIPs: [clusterIP],
    ports: [{ name: 'p', port, protocol: 'TCP' }],
  }
  return { metadata: { name: `s${n}`, namespace: 'ns', creationTimestamp: '2026-01-01T00:00:00Z' }, spec }
}

function slice(n: number, hosts: readonly number[]): object {
  const labels = { 'kubernetes.io/service-name': `s${n}` }
  const endpoints = hosts.map((host) => ({ addresses: [`10.1.${n}.${host}`], conditions: { ready: true } }))
  const ports = [{ name: 'p', port: 80, protocol: 'TCP' }]
  return { metadata: { name: `s${n}-a`, namespace: 'ns', labels }, addressType: 'IPv4', endpoints, ports }
}

const event: fc.Arbitrary<ResourceEvent> = fc.oneof(
  fc.tuple(index, fc.constantFrom(80, 443)).map(([n, port]) => changed('Service', service(n, port))),
  fc
    .tuple(index, fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { maxLength: 4 }))
    .map(([n, hosts]) => changed('EndpointSlice', slice(n, hosts))),
  index.map((n) => ({ type: 'deleted', resource: 'Service', object: service(n, 80) }) as const),
  index.map((n) => ({ type: 'deleted', resource: 'EndpointSlice', object: slice(n, []) }) as const),
)

function changed(resource: 'Service' | 'EndpointSlice', object: object): ResourceEvent {
  return { type: 'changed', resource, object }
}

/** Applies events one batch after another; after each the loop is let to succeed, trying again as long as it fails. */
async function run(batches: readonly (readonly ResourceEvent[])[], fails: () => KernelError | undefined) {
  const backend = new MemoryBackend()
  const reconciler = new Reconciler({ backend, clock: systemClock, onRefusal: () => undefined })
  const store = new ClusterStore({ nodeName: 'node' })
  const decider = new ForwardingDecider(OPTIONS)
  backend.beforeWrite = fails
  for (const batch of batches) {
    for (const one of batch) store.apply(one)
    const forwarding = decider.decide(store.snapshot())
    for (let attempt = 0; ; attempt++) {
      expect(attempt).toBeLessThan(100)
      const done = await reconciler.sync(forwarding, signal).then(
        () => true,
        () => false,
      )
      if (done) break
    }
  }
  return new Map([...backend.kernel].sort())
}

const never = (): undefined => undefined

test('any split, squash and duplication of events ends in the same kernel', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(event, { maxLength: 30 }),
      fc.integer({ min: 1, max: 7 }),
      async (events, size) => {
        const squashed = await run([events], never)
        const single = await run(
          events.map((one) => [one]),
          never,
        )
        const doubled = await run(
          events.map((one) => [one, one]),
          never,
        )
        const groups = Array.from({ length: Math.ceil(events.length / size) }, (_, i) =>
          events.slice(i * size, (i + 1) * size),
        )
        expect(single).toEqual(squashed)
        expect(doubled).toEqual(squashed)
        expect(await run(groups, never)).toEqual(squashed)
      },
    ),
    { numRuns: 60 },
  )
})

test('with every tenth write failing, half done or not, the kernel ends as without failures', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(event, { maxLength: 30 }),
      fc.infiniteStream(fc.nat(9)),
      async (events, dice) => {
        const codes = ['busy', 'missing-object', 'timeout'] as const
        let calls = 0
        const fails = (): KernelError | undefined =>
          dice.next().value === 0 ? kernelError(codes[calls++ % codes.length]!) : undefined
        expect(
          await run(
            events.map((one) => [one]),
            fails,
          ),
        ).toEqual(await run([events], never))
      },
    ),
    { numRuns: 60 },
  )
})
