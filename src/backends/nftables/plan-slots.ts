/**
 * Which target gets which share of the new connections. The kernel draws a slot number with equal probability, so
 * weights are numbers of slots.
 */
import type { Target } from '../../forwarding/forwarding.ts'

/** More slots would give finer shares and cost an element each per frontend. */
const FINEST = 256

/** Slots of the pool `local` begin here; those of `cluster` at 0. */
export const LOCAL_OFFSET = 32_768

/**
 * The target of every slot. Equal weights give one slot each. Otherwise the shares are exact when the reduced weights
 * add up to no more than 256 (or four per target), and else off by less than one slot; every target has at least one.
 */
export function slotsOf(targets: readonly Target[]): readonly Target[] {
  const usable = targets.length > LOCAL_OFFSET ? targets.slice(0, LOCAL_OFFSET) : targets
  const first = usable[0]?.weight
  if (usable.every(({ weight }) => weight === first)) return usable
  const slotCounts = counts(usable)
  const slots = usable.flatMap((target, i) => new Array<Target>(slotCounts[i] ?? 1).fill(target))
  return slots.slice(0, LOCAL_OFFSET)
}

/** How many slots each target gets. */
function counts(targets: readonly Target[]): readonly number[] {
  const divisor = targets.reduce((common, { weight }) => greatestCommonDivisor(common, weight), 0)
  const total = targets.reduce((sum, { weight }) => sum + weight / divisor, 0)
  const wanted = Math.min(Math.max(FINEST, 4 * targets.length), LOCAL_OFFSET)
  const scale = Math.min(1, wanted / total)
  return targets.map(({ weight }) => Math.max(1, Math.floor((weight / divisor) * scale)))
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b)
}
