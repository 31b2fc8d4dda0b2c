import { setImmediate as nextTurn } from 'node:timers/promises'
import { releaseMemory } from '../../../src/runtime/release-memory.ts'

test('releaseMemory() frees what nobody refers to any more', async () => {
  const reference = new WeakRef({ large: 'x'.repeat(1000) })
  // What was made in this turn is kept until its end.
  await nextTurn()
  releaseMemory()
  expect(reference.deref()).toBeUndefined()
})
