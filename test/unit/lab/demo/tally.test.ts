import { percentile, Tally } from '../../../../src/lab/demo/tally.ts'
import { aReport } from './reports.ts'

describe('Tally', () => {
  it('adds up connections by client and by pod, answered and failed', () => {
    const tally = new Tally()
    tally.add('pod', aReport({ atMs: 1000, answered: { a: 3, b: 1 } }))
    tally.add('pod', aReport({ atMs: 1050, answered: { a: 2 }, failed: [[1040, 'timeout']] }))
    tally.add('node', aReport({ atMs: 1060, answered: { b: 10 } }))
    expect(tally.totals()).toEqual({
      pod: { total: 7, failed: 1 },
      node: { total: 10, failed: 0 },
      outside: { total: 0, failed: 0 },
    })
    expect(tally.distribution()).toEqual([
      ['b', 11],
      ['a', 5],
    ])
  })

  it('counts a failure in the phase in which the connection was begun', () => {
    const tally = new Tally()
    tally.beginPhase('rolling-restart', 100)
    tally.beginPhase('calm', 200)
    tally.beginPhase('kill', 300)
    const failed = [50, 100, 199, 250, 300].map((atMs): [number, string] => [atMs, 'timeout'])
    tally.add('node', aReport({ atMs: 2300, failed }))
    expect(tally.failures.map(({ phase }) => phase)).toEqual([
      'calm',
      'rolling-restart',
      'rolling-restart',
      'calm',
      'kill',
    ])
    expect(tally.failedIn('kill')).toEqual([{ client: 'node', atMs: 300, why: 'timeout', phase: 'kill' }])
  })

  it('measures from the announcement of an endpoint to the first connection on it', () => {
    const tally = new Tally()
    tally.announce('slow', 1000)
    tally.announce('quick', 1000)
    tally.announce('never', 1000)
    tally.add('pod', aReport({ atMs: 1050, answered: { quick: 1 }, firstMs: 1020 }))
    tally.add('pod', aReport({ atMs: 1200, answered: { slow: 1, quick: 1 }, firstMs: 1180 }))
    expect(tally.propagationMs()).toEqual([20, 180])
    expect(tally.arrivals.find(({ pod }) => pod === 'never')?.reachedMs).toBeUndefined()
  })

  it('does not take a connection from before the announcement for the first on a restarted pod', () => {
    const tally = new Tally()
    tally.announce('web', 1000)
    tally.add('pod', aReport({ atMs: 1050, answered: { web: 1 }, firstMs: 990 }))
    expect(tally.propagationMs()).toEqual([])
  })

  it('sorts answers into quarters of a second, and failures by their beginning', () => {
    const tally = new Tally()
    tally.add('pod', aReport({ atMs: 1010, answered: { a: 1 } }))
    tally.add('node', aReport({ atMs: 1240, answered: { a: 1 }, failed: [[1200, 'ECONNRESET']] }))
    tally.add('node', aReport({ atMs: 1260, answered: { b: 4 } }))
    tally.add('node', aReport({ atMs: 1270, failed: [[999, 'timeout']] }))
    expect(
      tally.slots.map(({ fromMs, byPod, failed }) => [fromMs, Object.fromEntries(byPod), failed]),
    ).toEqual([
      [750, {}, 1],
      [1000, { a: 2 }, 1],
      [1250, { b: 4 }, 0],
    ])
  })
})

describe('percentile()', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1)
  test.each([
    { name: 'the median', sorted: hundred, share: 0.5, want: 50 },
    { name: 'the 99th', sorted: hundred, share: 0.99, want: 99 },
    { name: 'the largest', sorted: hundred, share: 1, want: 100 },
    { name: 'of one value', sorted: [7], share: 0.99, want: 7 },
    { name: 'of none', sorted: [], share: 0.5, want: undefined },
  ])('gives $name', ({ sorted, share, want }) => {
    expect(percentile(sorted, share)).toBe(want)
  })
})
