import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const SOURCE = `${import.meta.dirname}/../../../src/runtime`

/** A process as after a start: little of what was made still lives, and it goes on working. Prints its heap in MB. */
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
    for (let round = 0; round < 1200; round++) {
      for (let i = 0; i < 2000; i++) kept[i % 100] = { i, text: 'again ' + i }
      await sleep(10)
    }
    console.log(getHeapStatistics().total_heap_size / 1e6)
    stop.abort()
    await releasing
  `
}

async function heapMb(released: boolean): Promise<number> {
  const args = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=4', '--input-type=module']
  const run = promisify(execFile)
  return Number((await run(process.execPath, [...args, '--eval', script(released)])).stdout)
}

test('releaseMemory() shrinks the heap of a process that goes on working', async () => {
  const [kept, released] = await Promise.all([heapMb(false), heapMb(true)])
  expect(released).toBeLessThan(kept / 2)
}, 60_000)
