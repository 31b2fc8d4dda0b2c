import { ShardedMap } from '../../../src/collections/sharded-map.ts'
import type { Forwarding } from '../../../src/forwarding/forwarding.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { Reconciler } from '../../../src/sync/reconciler.ts'
import { aForwarding, aPort, withPorts } from '../../support/forwarding-builder.ts'
import { kernelError, MemoryBackend } from '../../support/memory-backend.ts'
import { TurnCounter } from '../../support/turn-counter.ts'

const { signal } = new AbortController()

function setUp(nowMs = { value: 0 }) {
  const backend = new MemoryBackend()
  const refusals: string[] = []
  const clock = { ...systemClock, now: () => nowMs.value }
  const reconciler = new Reconciler({
    backend,
    clock,
    onRefusal: (port, error) => refusals.push(`${port.key} ${error === undefined ? 'accepted' : 'refused'}`),
  })
  return { backend, refusals, reconciler }
}

function services(count: number): Forwarding {
  const names = Array.from({ length: count }, (_, i) => `ns/s${i}`)
  return aForwarding(
    names.map((name, i) =>
      aPort(name)
        .clusterIp(`10.0.${i >> 8}.${i & 255}`)
        .endpoints('10.1.0.1:80'),
    ),
  )
}

test('Reconciler writes what is missing, and nothing the second time', async () => {
  const { backend, reconciler } = setUp()
  expect(await reconciler.sync(services(3), signal)).toMatchObject({ created: 3, removed: 0, observed: true })
  expect(await reconciler.sync(services(3), signal)).toMatchObject({
    created: 0,
    observed: false,
    scriptBytes: 0,
  })
  expect(backend.observations).toBe(1)
  expect(backend.kernel.size).toBe(3)
})

test('Reconciler gives the event loop a turn at every pause of the difference and of the script', async () => {
  const { backend, reconciler } = setUp()
  const pauses = 100
  backend.pausesOfScript = pauses
  const counter = new TurnCounter()
  await reconciler.sync(services(1), signal)
  counter.stop()
  expect(counter.turns).toBeGreaterThanOrEqual(pauses)
  expect(backend.kernel.size).toBe(1)
})

test('Reconciler writes one object for one changed service port', async () => {
  const { backend, reconciler } = setUp()
  const before = services(600)
  await reconciler.sync(before, signal)
  const changed = aPort('ns/s7').clusterIp('10.0.0.7').endpoints('10.1.0.2:80').build()
  await reconciler.sync(withPorts(before, [[changed.key, changed]]), signal)
  expect(backend.writes.at(-1)).toEqual({ set: [[changed.key, '10.1.0.2:80']], unset: [] })
})

test('Reconciler after a restart changes nothing that is already right', async () => {
  const first = setUp()
  await first.reconciler.sync(services(5), signal)
  const second = new Reconciler({ backend: first.backend, clock: systemClock, onRefusal: () => undefined })
  const result = await second.sync(services(5), signal)
  expect(result).toMatchObject({ created: 0, updated: 0, removed: 0, observed: true })
  expect(first.backend.writes).toHaveLength(1)
})

test('Reconciler looks again after a failed write and repairs', async () => {
  const { backend, reconciler } = setUp()
  await reconciler.sync(services(2), signal)
  backend.beforeWrite = () => {
    backend.kernel.delete('ns/s0:/TCP')
    return kernelError('busy')
  }
  await expect(reconciler.sync(services(3), signal)).rejects.toThrow('refused')
  backend.beforeWrite = () => undefined
  expect(await reconciler.sync(services(3), signal)).toMatchObject({ created: 2, observed: true })
  expect(backend.kernel.size).toBe(3)
})

test('Reconciler looks again after forget()', async () => {
  const { backend, reconciler } = setUp()
  await reconciler.sync(services(3), signal)
  backend.kernel.delete('ns/s1:/TCP')
  reconciler.forget()
  expect(await reconciler.sync(services(3), signal)).toMatchObject({ created: 1, observed: true })
})

describe('Reconciler.begin()', () => {
  const first = services(2)

  test('programs a part in a write of its own, which counts as part of the sync', async () => {
    const { backend, reconciler } = setUp()
    await reconciler.begin(first, signal)
    expect([...backend.kernel.keys()].sort()).toEqual(['ns/s0:/TCP', 'ns/s1:/TCP'])
    expect(await reconciler.sync(services(20), signal)).toMatchObject({ created: 20, observed: true })
    expect(backend.writes.map(({ set }) => set.length)).toEqual([2, 18])
    expect(backend.observations).toBe(1)
  })

  test('is followed by the rest in parts where adding is cheap', async () => {
    const { backend, reconciler, refusals } = setUp()
    backend.addsCheaply = true
    const whole = services(20_000)
    const last = [...whole.ports.keys()].sort().at(-1)!
    backend.refuses.add(last)
    await reconciler.begin({ ...whole, ports: ShardedMap.of([...whole.ports].slice(0, 2)) }, signal)
    const result = await reconciler.sync(whole, signal)
    expect(result).toMatchObject({ created: 19_999, updated: 0, removed: 0 })
    expect(backend.kernel.size).toBe(19_999)
    expect(refusals).toEqual([`${last} refused`])
    // What came before the refused part stays; then it is read what is there.
    expect(backend.writes.slice(0, 4).map(({ set }) => set.length)).toEqual([2, 6000, 6000, 6000])
    expect(backend.observations).toBeGreaterThan(1)
  })

  test('changes nothing that is there, and is not looked for twice', async () => {
    const { backend, reconciler } = setUp()
    backend.kernel.set('ns/s5:/TCP', '10.1.0.1:80')
    await reconciler.begin(first, signal)
    expect(backend.writes).toEqual([])
    expect(await reconciler.sync(services(20), signal)).toMatchObject({ created: 19, observed: true })
    expect(backend.observations).toBe(1)
  })

  test('may give a setting of the node another value', async () => {
    const { backend, reconciler } = setUp()
    backend.settings = [{ kind: 'sysctl', key: 'sysctl route', text: '1' }]
    backend.kernel.set('sysctl route', '0')
    await reconciler.begin(first, signal)
    expect(backend.writes.map(({ set }) => set.length)).toEqual([3])
    expect(backend.kernel.get('sysctl route')).toBe('1')
  })

  test('leaves what the kernel refuses to the sync', async () => {
    const { backend, reconciler, refusals } = setUp()
    backend.refuses.add('ns/s0:/TCP')
    await reconciler.begin(first, signal)
    expect(refusals).toEqual([])
    await reconciler.sync(services(20), signal)
    expect(backend.kernel.size).toBe(19)
    expect(refusals).toEqual(['ns/s0:/TCP refused'])
  })

  test('fails when the kernel cannot be written, and the sync looks anew', async () => {
    const { backend, reconciler } = setUp()
    backend.beforeWrite = () => kernelError('busy')
    await expect(reconciler.begin(first, signal)).rejects.toThrow('refused')
    backend.beforeWrite = () => undefined
    expect(await reconciler.sync(services(20), signal)).toMatchObject({ created: 20 })
  })
})

describe.each([true, false])(
  'Reconciler when the kernel refuses a service port (the tool names it: %s)',
  (told) => {
    test('leaves out exactly the culprits and programs all others', async () => {
      const { backend, reconciler, refusals } = setUp()
      backend.tellsCulprit = told
      backend.refuses.add('ns/s3:/TCP').add('ns/s17:/TCP')
      await reconciler.sync(services(50), signal)
      expect(backend.kernel.size).toBe(48)
      expect(refusals.sort()).toEqual(['ns/s17:/TCP refused', 'ns/s3:/TCP refused'])
    })

    test('leaves out only the new one when it appears later, and keeps programming changes', async () => {
      const { backend, reconciler } = setUp()
      backend.tellsCulprit = told
      await reconciler.sync(services(10), signal)
      backend.refuses.add('ns/s10:/TCP')
      await reconciler.sync(services(12), signal)
      expect([...backend.kernel.keys()]).toContain('ns/s11:/TCP')
      expect(backend.kernel.size).toBe(11)
      await reconciler.sync(services(13), signal)
      expect(backend.kernel.size).toBe(12)
    })

    test('tries it again when it changed, and after a minute', async () => {
      const nowMs = { value: 0 }
      const { backend, reconciler, refusals } = setUp(nowMs)
      backend.tellsCulprit = told
      backend.refuses.add('ns/s1:/TCP')
      const forwarding = services(3)
      await reconciler.sync(forwarding, signal)
      backend.refuses.clear()
      await reconciler.sync(forwarding, signal)
      expect(backend.kernel.size).toBe(2)
      nowMs.value = 61_000
      await reconciler.sync(forwarding, signal)
      expect(backend.kernel.size).toBe(3)
      expect(reconciler.refused.size).toBe(0)
      expect(refusals).toEqual(['ns/s1:/TCP refused'])
    })
  },
)

test('Reconciler throws when nothing is acceptable, and leaves no service port refused for it', async () => {
  const { backend, reconciler } = setUp()
  let attempts = 0
  backend.beforeWrite = () => {
    attempts++
    return kernelError('rejected', 'the kernel lacks a match')
  }
  await expect(reconciler.sync(services(2000), signal)).rejects.toThrow('lacks a match')
  expect(reconciler.refused.size).toBe(0)
  expect(attempts).toBeLessThan(40)
  backend.beforeWrite = () => undefined
  await reconciler.sync(services(2000), signal)
  expect(backend.kernel.size).toBe(2000)
})
