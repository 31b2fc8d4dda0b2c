/** Gives memory back that is not needed any more, without waiting until the engine wants to. */
import { setFlagsFromString } from 'node:v8'
import type { Clock } from './clock.ts'

/** The engine looks eight seconds after its last collection whether to shrink, and does it in two or three steps. */
const SHRINKING_MS = 30_000

/**
 * Lets the engine shrink its heap to what is in use, which it otherwise puts off as long as there is work: V8's memory
 * reducer (src/heap/memory-reducer.cc) collects little by little beside the program, where `gc()` would stop the process
 * for 0.1 s with 10,000 Services × 5. Resolves when it has had the time for it, or the signal is aborted.
 */
export async function releaseMemory(clock: Clock, signal: AbortSignal): Promise<void> {
  setFlagsFromString('--optimize-for-size')
  await clock.sleep(SHRINKING_MS, signal).catch(() => undefined)
  setFlagsFromString('--no-optimize-for-size')
}
