/** Gives memory back that is not needed any more, without waiting until the engine wants to. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/**
 * Collects all garbage at once; the process stands still meanwhile, 0.15 s with 10,000 Services × 5. The engine collects
 * when it allocates, and a proxy that has just programmed everything allocates next to nothing, perhaps for hours.
 */
export function releaseMemory(): void {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
}
