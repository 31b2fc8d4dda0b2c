import fc from 'fast-check'
import { LOCAL_OFFSET, slotsOf } from '../../../../src/backends/nftables/plan-slots.ts'
import type { Target } from '../../../../src/forwarding/forwarding.ts'
import { anIp } from '../../../support/forwarding-builder.ts'

function targets(...weights: readonly number[]): readonly Target[] {
  return weights.map((weight, i) => ({
    ip: anIp(`10.0.${i >> 8}.${i & 255}`),
    port: 80,
    local: false,
    weight,
  }))
}

/** Slots of each target, in order. */
function countsOf(given: readonly Target[]): readonly number[] {
  const slots = slotsOf(given)
  return given.map((target) => slots.filter((slot) => slot === target).length)
}

test.each([
  { weights: [], want: [] },
  { weights: [1, 1, 1], want: [1, 1, 1] },
  { weights: [100, 100], want: [1, 1] },
  { weights: [100, 200], want: [1, 2] },
  { weights: [100, 37], want: [100, 37] },
  { weights: [1000, 1], want: [255, 1] },
])('slotsOf() gives weights $weights so many slots: $want', ({ weights, want }) => {
  expect(countsOf(targets(...weights))).toEqual(want)
})

test('slotsOf() gives everybody a slot, and a share that is off by less than one slot', () => {
  const weights = fc.array(fc.integer({ min: 1, max: 10_000 }), { minLength: 1, maxLength: 60 })
  fc.assert(
    fc.property(weights, (given) => {
      const counts = countsOf(targets(...given))
      const total = given.reduce((sum, weight) => sum + weight, 0)
      const slots = Math.max(256, 4 * given.length)
      for (const [i, weight] of given.entries()) {
        const count = counts[i] ?? 0
        expect(count).toBeGreaterThanOrEqual(1)
        // Unless the reduced weights fit exactly, the scale is that many slots.
        if (count > 1)
          expect(Math.abs(count / counts.reduce((a, b) => a + b, 0) - weight / total)).toBeLessThan(
            1 / 64 + given.length / slots,
          )
      }
    }),
  )
})

test('slotsOf() never reaches into the slots of the other pool', () => {
  expect(slotsOf(targets(...new Array<number>(40_000).fill(1))).length).toBe(LOCAL_OFFSET)
  expect(
    slotsOf(targets(...Array.from({ length: 40_000 }, (_, i) => (i % 2) + 1))).length,
  ).toBeLessThanOrEqual(LOCAL_OFFSET)
})
