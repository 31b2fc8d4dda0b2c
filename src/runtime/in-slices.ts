import { ownTurn } from './own-turn.ts'

/**
 * Runs work that pauses (`collections/sliced.ts`) and gives the event loop a turn at every pause, so that health checks
 * are answered meanwhile. What never pauses is done when this returns.
 */
export async function inSlices<T>(work: Generator<undefined, T>): Promise<T> {
  for (;;) {
    const step = work.next()
    if (step.done === true) return step.value
    await ownTurn()
  }
}
