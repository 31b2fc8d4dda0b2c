import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const SOURCE = `${import.meta.dirname}/../../../src/runtime`

/**
 * A process as after a start: little of what was made still lives, and it goes on working. Prints what part of
 * its heap is left, as soon as that is less than half, or when the time is over.
 */
function script(released: boolean): string {
  return `
    import { getHeapStatistics } from 'node:v8'
    import { setTimeout as sleep } from 'node:timers/promises'
    import { systemClock } from '${SOURCE}/clock.ts'
    import { releaseMemory } from '${SOURCE}/release-memory.ts'
    let kept = Array.from({ length: 400_000 }, (_, i) => ({ i, text: 'object ' + i }))
    kept = kept.filter((_, i) => i % 8 === 0)
    const stop = new AbortController()
    const releasing = ${released} ? releaseMemory(systemClock, stop.signal) : undefined
    const heapMb = () => getHeapStatistics().total_heap_size / 1e6
    const first = heapMb()
    const untilMs = performance.now() + ${released ? 40_000 : 12_000}
    while (heapMb() > first / 2 && performance.now() < untilMs) {
      for (let i = 0; i < 2000; i++) kept[i % 100] = { i, text: 'again ' + i }
      await sleep(10)
    }
    console.log(heapMb() / first)
    stop.abort()
    await releasing
  `
}

/** How much of the heap is left. */
async function shareLeft(released: boolean): Promise<number> {
  const args = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=4', '--input-type=module']
  const run = promisify(execFile)
  return Number((await run(process.execPath, [...args, '--eval', script(released)])).stdout)
}

test('releaseMemory() shrinks the heap of a process that goes on working', async () => {
  const [kept, released] = await Promise.all([shareLeft(false), shareLeft(true)])
  expect(released).toBeLessThan(0.5)
  expect(kept).toBeGreaterThan(0.5)
}, 60_000)
