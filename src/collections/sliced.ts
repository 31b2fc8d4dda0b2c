/**
 * Work that can be interrupted: a generator that pauses wherever it has worked for a few milliseconds, and ends with
 * the result. Pure code only says where others may have their turn; who runs it decides whether they get it
 * (`runtime/in-slices.ts`, for what an event loop does between health checks) or not (`atOnce`).
 */
export type Sliced<T> = Generator<undefined, T>

/** Small steps, of which this many are a few milliseconds. */
const SLICE = 2000

/** The result without a pause. */
export function atOnce<T>(work: Sliced<T>): T {
  for (;;) {
    const step = work.next()
    if (step.done === true) return step.value
  }
}

/** Does it for every item; `slice` is how many are worked on without a pause. */
export function* forEachSliced<T>(
  items: Iterable<T>,
  work: (item: T) => void,
  slice: number = SLICE,
): Sliced<void> {
  let done = 0
  for (const item of items) {
    work(item)
    done++
    if (done % slice === 0) yield
  }
}

/** The text of these lines, each with its end. */
export function* textOfLines(lines: Iterable<string>): Sliced<string> {
  let text = ''
  let waiting: string[] = []
  for (const line of lines) {
    waiting.push(line)
    if (waiting.length < SLICE) continue
    text += endedLines(waiting)
    waiting = []
    yield
  }
  return text + endedLines(waiting)
}

function endedLines(lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`
}
