import { formatGoDuration, parseGoDuration } from '../../../src/config/go-duration.ts'

test.each<[string, number | undefined]>([
  ['0', 0],
  ['0s', 0],
  ['30s', 30_000],
  ['1m30s', 90_000],
  ['1h', 3_600_000],
  ['1.5h', 5_400_000],
  ['.5s', 500],
  ['100ms', 100],
  ['1us', 0.001],
  ['1µs', 0.001],
  ['2ns', 0.000002],
  ['-10s', -10_000],
  ['+10s', 10_000],
  ['24h0m0s', 86_400_000],
  ['', undefined],
  ['30', undefined],
  ['s', undefined],
  ['1d', undefined],
  ['1 s', undefined],
  ['1s\n', undefined],
  ['1s;', undefined],
])('parseGoDuration() reads %j as %p ms', (text, want) => {
  expect(parseGoDuration(text)).toBe(want)
})

test.each<[number, string]>([
  [0, '0s'],
  [30_000, '30s'],
  [90_000, '1m30s'],
  [86_400_000, '24h0m0s'],
  [1500, '1.5s'],
  [50, '50ms'],
  [0.05, '50µs'],
  [0.000002, '2ns'],
  [-1000, '-1s'],
])('formatGoDuration() writes %p ms as %s, and it is read back', (ms, want) => {
  expect(formatGoDuration(ms)).toBe(want)
  expect(parseGoDuration(want)).toBeCloseTo(ms, 9)
})
