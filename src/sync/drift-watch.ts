/**
 * Notices when somebody else changed what is ours: asks the backend's cheap probe at an interval and gives up the
 * belief when it answers, so that the next sync reads the kernel and repairs what is missing.
 */
import type { Backend, Drift } from '../backends/backend.ts'
import type { KernelObject, KernelState } from '../netfilter/kernel-state.ts'
import type { Clock } from '../runtime/clock.ts'

export interface DriftWatchOptions<O extends KernelObject> {
  readonly backend: Pick<Backend<O>, 'probe'>
  readonly clock: Clock
  /** What we left in the kernel, if it is known. */
  readonly believed: () => KernelState<O> | undefined
  readonly intervalMs: number
  /** No question is asked while this is false: during a sync our own writes would look like drift. */
  readonly isQuiet: () => boolean
  readonly onDrift: (drift: Drift, noticedAtMs: number) => void
  readonly onProbeFailure: (error: unknown) => void
}

/** Runs until the signal is aborted; never rejects. */
export async function watchDrift<O extends KernelObject>(
  options: DriftWatchOptions<O>,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await options.clock.sleep(options.intervalMs, signal).catch(() => undefined)
    if (signal.aborted) return
    if (options.isQuiet()) await probeOnce(options, signal)
  }
}

async function probeOnce<O extends KernelObject>(
  options: DriftWatchOptions<O>,
  signal: AbortSignal,
): Promise<void> {
  try {
    const believed = options.believed()
    const drift = await options.backend.probe(signal, believed)
    // A sync that began meanwhile has looked at the kernel itself, or changed what the probe just saw.
    if (drift !== undefined && options.isQuiet() && options.believed() === believed)
      options.onDrift(drift, options.clock.monotonic())
  } catch (error) {
    if (!signal.aborted) options.onProbeFailure(error)
  }
}
