import fc from 'fast-check'
import { masqueradePorts } from '../../../src/netfilter/masquerade-ports.ts'

test.each([
  [
    'a range in the middle',
    { first: 30_000, last: 32_767 },
    [
      [1024, 29_999, 28_976 / 61_744],
      [32_768, 65_535, 1],
    ],
  ],
  ['a range at the end', { first: 60_000, last: 65_535 }, [[1024, 59_999, 1]]],
  ['a range that begins among privileged ports', { first: 80, last: 2000 }, [[2001, 65_535, 1]]],
  ['all ports', { first: 1, last: 65_535 }, []],
  ['no range', undefined, []],
])('masqueradePorts() leaves out %s', (_name, nodePorts, wanted) => {
  const ranges = masqueradePorts(nodePorts).map(({ first, last, probability }) => [first, last, probability])
  expect(ranges).toEqual(wanted)
})

test('masqueradePorts() gives every other unprivileged port the same chance', () => {
  const ends = fc.tuple(fc.integer({ min: 1, max: 65_535 }), fc.integer({ min: 1, max: 65_535 }))
  fc.assert(
    fc.property(ends, ([a, b]) => {
      const avoided = { first: Math.min(a, b), last: Math.max(a, b) }
      let left = 1
      const chances: number[] = []
      let free = 0
      for (const { first, last, probability } of masqueradePorts(avoided)) {
        expect(last < avoided.first || first > avoided.last).toBe(true)
        free += last - first + 1
        chances.push((left * probability) / (last - first + 1))
        left *= 1 - probability
      }
      for (const chance of chances) expect(chance * free).toBeCloseTo(1)
    }),
  )
})
