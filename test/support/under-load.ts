import type { LoadReport, LoadRequest } from './node-bed-load.ts'
import type { NodeBed } from './node-bed.ts'

/** Clients of the bed's world ask for new connections and hold old ones while `work` goes on, and no longer. */
export async function underLoad(
  bed: NodeBed,
  clients: readonly LoadRequest[],
  work: () => Promise<unknown>,
): Promise<LoadReport[]> {
  const started = await Promise.all(clients.map((client) => bed.ask('world', 'load-start', client)))
  const stop = async () => Promise.all(started.map((index) => bed.ask('world', 'load-stop', index)))
  try {
    await work()
  } catch (error) {
    // It would disturb the next test.
    await stop()
    throw error
  }
  return stop()
}
