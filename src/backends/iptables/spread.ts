/** Who gets which share when endpoints come and go: decided by hashes of names, so that most things stay in place. */
import { createHash } from 'node:crypto'

/** What `xt_cluster` can divide clients into. */
export const SLOTS = 32

/** One hexadecimal digit: which of 16 buckets something belongs to on this level. */
export function bucketOf(text: string, level: number): string {
  return createHash('sha256').update(`${level} ${text}`).digest('hex').charAt(0)
}

/**
 * Divides 32 slots among the choices by weight: for each slot, whose it is. A slot goes to the choice that wants it
 * most (rendezvous hashing) among those that have not had their share, so that one choice more or less moves few.
 */
export function sharesOf<T extends { readonly text: string; readonly weight: number }>(
  choices: readonly T[],
): readonly T[] {
  const total = choices.reduce((sum, { weight }) => sum + weight, 0)
  const left = new Map(choices.map((choice) => [choice, Math.ceil((choice.weight * SLOTS) / total)]))
  const slots: T[] = []
  for (let slot = 0; slot < SLOTS; slot++) {
    const open = choices.filter((choice) => (left.get(choice) ?? 0) > 0)
    const [best] = open.toSorted((a, b) => wishFor(b.text, slot) - wishFor(a.text, slot))
    if (best === undefined) break
    slots.push(best)
    left.set(best, (left.get(best) ?? 0) - 1)
  }
  return slots
}

function wishFor(text: string, slot: number): number {
  return createHash('sha256').update(`${slot} ${text}`).digest().readUInt32BE(0)
}
