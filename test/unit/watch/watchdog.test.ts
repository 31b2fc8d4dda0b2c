import { Watchdog } from '../../../src/watch/watchdog.ts'
import { ManualClock } from '../../support/manual-clock.ts'

function start(limitMs: number) {
  const clock = new ManualClock()
  const outer = new AbortController()
  return { clock, outer, watchdog: new Watchdog({ clock, limitMs, outer: outer.signal }) }
}

test('Watchdog aborts after silence, counted from the last touch', async () => {
  const { clock, watchdog } = start(100)
  await clock.advance(90)
  watchdog.touch()
  await clock.advance(90)
  expect(watchdog.signal.aborted).toBe(false)
  await clock.advance(10)
  expect(watchdog.signal.aborted).toBe(true)
  expect(watchdog.expired).toBe(true)
})

test.each([
  [20, 19],
  [500, 499],
])('Watchdog takes over a new limit of %i ms', async (limitMs, beforeMs) => {
  const { clock, watchdog } = start(100)
  await clock.advance(50)
  watchdog.restart(limitMs)
  await clock.advance(beforeMs)
  expect(watchdog.signal.aborted).toBe(false)
  await clock.advance(1)
  expect(watchdog.expired).toBe(true)
})

test('Watchdog follows the outer signal without having expired', () => {
  const { outer, watchdog } = start(100)
  outer.abort(new Error('stop'))
  expect(watchdog.signal.reason).toEqual(new Error('stop'))
  expect(watchdog.expired).toBe(false)
})

test('Watchdog is aborted from the beginning when the outer signal is', () => {
  const clock = new ManualClock()
  expect(new Watchdog({ clock, limitMs: 1, outer: AbortSignal.abort() }).signal.aborted).toBe(true)
})

test('Watchdog does nothing any more once it is closed', async () => {
  const { clock, outer, watchdog } = start(100)
  watchdog.close()
  watchdog.restart(10)
  await clock.advance(1000)
  outer.abort()
  expect(watchdog.signal.aborted).toBe(false)
})
