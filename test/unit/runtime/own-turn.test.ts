import { inSlices } from '../../../src/runtime/in-slices.ts'
import { ownTurn } from '../../../src/runtime/own-turn.ts'
import { TurnCounter } from '../../support/turn-counter.ts'

test('ownTurn() gives everybody another turn of the event loop, in the order of asking', async () => {
  const counter = new TurnCounter()
  const turns: number[] = []
  await Promise.all(Array.from({ length: 5 }, async () => ownTurn().then(() => turns.push(counter.turns))))
  counter.stop()
  expect(new Set(turns).size).toBe(5)
  expect(turns).toEqual([...turns].sort((a, b) => a - b))
})

function* pieces(turns: Set<number>, counter: TurnCounter): Generator<undefined, string> {
  for (let piece = 0; piece < 10; piece++) {
    expect(turns).not.toContain(counter.turns)
    turns.add(counter.turns)
    yield
  }
  return 'done'
}

test('inSlices() gives no turn of the event loop to two pieces of work', async () => {
  const counter = new TurnCounter()
  const turns = new Set<number>()
  // A counter begins with the next turn, and work that never pauses is done at once.
  await ownTurn()
  const works = Array.from({ length: 3 }, async () => {
    await ownTurn()
    return inSlices(pieces(turns, counter))
  })
  expect(await Promise.all(works)).toEqual(['done', 'done', 'done'])
  counter.stop()
  expect(turns.size).toBe(30)
})
