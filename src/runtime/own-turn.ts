import { setImmediate as nextTurn } from 'node:timers/promises'

let last: Promise<unknown> = Promise.resolve()

/**
 * Resolves in a turn of the event loop that nobody else gets who asks here, in the order of asking. Work that may take
 * some milliseconds begins with it, so that pieces of different work do not add up to a stall: what waits longest, a
 * health check for instance, waits for one piece.
 */
export async function ownTurn(): Promise<void> {
  const mine = last.then(async () => nextTurn())
  last = mine
  await mine
}
