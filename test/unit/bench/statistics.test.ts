import { judgeSpread, percentile, summarize } from '../../../bench/statistics.ts'

test.each([
  { p: 0.5, want: 5 },
  { p: 0.9, want: 9 },
  { p: 0.99, want: 10 },
  { p: 1, want: 10 },
  { p: 0, want: 1 },
])('percentile() of 1 to 10 at $p is $want, a value that was measured', ({ p, want }) => {
  expect(percentile([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], p)).toBe(want)
})

test('summarize() sorts by itself and keeps the given list', () => {
  const given = [30, 10, 20]
  expect(summarize(given)).toEqual({ count: 3, p50: 20, p90: 30, p99: 30, max: 30 })
  expect(given).toEqual([30, 10, 20])
})

test('summarize() of nothing is nothing', () => {
  expect(summarize([])).toBeUndefined()
})

// Probabilities as in the tables of the chi-square distribution.
test.each([
  { counts: [100, 100, 100, 100, 100], endpoints: 5, chiSquare: 0, probability: 1 },
  { counts: [120, 80, 100, 110, 90], endpoints: 5, chiSquare: 10, probability: 0.04 },
  { counts: [150, 50], endpoints: 2, chiSquare: 50, probability: 0 },
])('judgeSpread() of $counts over $endpoints', ({ counts, endpoints, chiSquare, probability }) => {
  const spread = judgeSpread(counts, endpoints)
  expect(spread.chiSquare).toBeCloseTo(chiSquare, 6)
  expect(spread.probability).toBeCloseTo(probability, 2)
})

test('judgeSpread() counts endpoints that nobody reached', () => {
  const spread = judgeSpread([50, 50], 4)
  expect(spread).toMatchObject({ connections: 100, endpoints: 4, reached: 2, chiSquare: 100 })
  expect(spread.probability).toBeLessThan(0.001)
})

test('judgeSpread() of one endpoint cannot be uneven', () => {
  expect(judgeSpread([1000], 1).probability).toBe(1)
})
