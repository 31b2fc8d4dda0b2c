import { atOnce, forEachSliced, type Sliced, textOfLines } from '../../../src/collections/sliced.ts'

/** The result, and how often the work paused. */
function run<T>(work: Sliced<T>): { result: T; pauses: number } {
  for (let pauses = 0; ; pauses++) {
    const step = work.next()
    if (step.done === true) return { result: step.value, pauses }
  }
}

test('forEachSliced() works on every item in order, and pauses after each slice', () => {
  const seen: number[] = []
  const items = Array.from({ length: 10 }, (_, index) => index)
  expect(run(forEachSliced(items, (item) => seen.push(item), 4)).pauses).toBe(2)
  expect(seen).toEqual(items)
})

test('textOfLines() gives the text that one join would give, and pauses within a long one', () => {
  const lines = Array.from({ length: 10_001 }, (_, index) => `line ${index}`)
  const { result, pauses } = run(textOfLines(lines))
  expect(result).toBe(`${lines.join('\n')}\n`)
  expect(pauses).toBeGreaterThanOrEqual(5)
})

test('textOfLines() of no lines is empty', () => {
  expect(atOnce(textOfLines([]))).toBe('')
})
