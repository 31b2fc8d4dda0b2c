/** Who gets which share when endpoints come and go: decided by hashes of names, so that most things stay in place. */
import { createHash } from 'node:crypto'

const SLOTS = 32

/** One hexadecimal digit: which of 16 buckets something belongs to on this level. */
export function bucketOf(text: string, level: number): string {
  return createHash('sha256').update(`${level} ${text}`).digest('hex').charAt(0)
}

/**
 * Divides 32 slots among the choices by weight; each choice gets a mask of its slots. A slot goes to the choice that
 * wants it most (rendezvous hashing) among those that have not had their share, so that one choice more or less moves
 * few slots.
 */
export function slotMasks(
  choices: readonly { readonly text: string; readonly weight: number }[],
): readonly number[] {
  const total = choices.reduce((sum, { weight }) => sum + weight, 0)
  const shares = choices.map(({ weight }) => Math.ceil((weight * SLOTS) / total))
  const masks = choices.map(() => 0)
  for (let slot = 0; slot < SLOTS; slot++) {
    let best = -1
    let bestWish = -1
    for (const [i, { text }] of choices.entries()) {
      const wish = wishFor(text, slot)
      if ((shares[i] ?? 0) > 0 && wish > bestWish) [best, bestWish] = [i, wish]
    }
    masks[best] = ((masks[best] ?? 0) | (1 << slot)) >>> 0
    shares[best] = (shares[best] ?? 0) - 1
  }
  return masks
}

function wishFor(text: string, slot: number): number {
  return createHash('sha256').update(`${slot} ${text}`).digest().readUInt32BE(0)
}
