import { FirstRound } from '../../../src/daemon/first-round.ts'

async function hasEnded(round: FirstRound): Promise<boolean> {
  return Promise.race([round.ended.then(() => true), Promise.resolve().then(() => false)])
}

test('FirstRound ends when all families have tried, also those that failed', async () => {
  const round = new FirstRound(() => 2, new AbortController().signal)
  round.onSynced({ family: 'IPv6' })
  round.onSynced({ family: 'IPv6' })
  expect(await hasEnded(round)).toBe(false)
  round.onSyncFailed('IPv4')
  await round.ended
})

test('FirstRound ends with the proxy', async () => {
  const stop = new AbortController()
  const round = new FirstRound(() => 2, stop.signal)
  expect(await hasEnded(round)).toBe(false)
  stop.abort()
  await round.ended
})
