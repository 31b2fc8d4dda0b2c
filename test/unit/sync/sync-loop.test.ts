import { SyncLoop } from '../../../src/sync/sync-loop.ts'
import { createBackoff } from '../../../src/sync/backoff.ts'
import { ManualClock } from '../../support/manual-clock.ts'

function setUp(run: (n: number) => Promise<void>) {
  const clock = new ManualClock()
  const stop = new AbortController()
  const seen = { runs: 0, failures: [] as number[] }
  const loop = new SyncLoop({
    clock,
    backoff: createBackoff({ firstMs: 200, maxMs: 30_000, random: () => 1 }),
    maxPauseMs: 1000,
    run: () => run(++seen.runs),
    onFailure: (_error, retryInMs) => seen.failures.push(retryInMs),
  })
  const done = loop.start(stop.signal)
  return { clock, stop, seen, loop, done }
}

test('SyncLoop runs the first request at once and merges those that come meanwhile', async () => {
  let finish = (): void => undefined
  const { clock, stop, seen, loop, done } = setUp((n) =>
    n === 1 ? new Promise((resolve) => (finish = resolve)) : Promise.resolve(),
  )
  loop.request()
  await clock.settle()
  expect(seen.runs).toBe(1)
  loop.request()
  loop.request()
  loop.request()
  finish()
  await clock.settle()
  expect(seen.runs).toBe(2)
  stop.abort()
  await done
})

test('SyncLoop pauses as long as the run took, and at most the configured time', async () => {
  const durations = [400, 5000, 0]
  const { clock, stop, seen, loop, done } = setUp((n) => clock.sleep(durations[n - 1]!))
  loop.request()
  await clock.advance(400)
  loop.request()
  await clock.advance(399)
  expect(seen.runs).toBe(1)
  await clock.advance(1)
  expect(seen.runs).toBe(2)
  await clock.advance(5000)
  loop.request()
  await clock.advance(999)
  expect(seen.runs).toBe(2)
  await clock.advance(1)
  expect(seen.runs).toBe(3)
  stop.abort()
  await done
})

test('SyncLoop tries again by itself after failures, with growing waits, and starts small after a success', async () => {
  const { clock, stop, seen, loop, done } = setUp((n) =>
    n === 4 ? Promise.resolve() : Promise.reject(new Error('no')),
  )
  loop.request()
  await clock.settle()
  await clock.advance(200)
  await clock.advance(400)
  await clock.advance(800)
  expect(seen).toEqual({ runs: 4, failures: [200, 400, 800] })
  loop.request()
  await clock.settle()
  expect(seen.failures.at(-1)).toBe(200)
  stop.abort()
  await done
})

test('SyncLoop ends when it is told to, in whatever state', async () => {
  const idle = setUp(() => Promise.resolve())
  idle.stop.abort()
  await idle.done
  const waiting = setUp(() => Promise.reject(new Error('no')))
  waiting.loop.request()
  await waiting.clock.settle()
  waiting.stop.abort()
  await waiting.done
  expect(waiting.seen.runs).toBe(1)
})
