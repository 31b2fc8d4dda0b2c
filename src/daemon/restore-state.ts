/**
 * What a node does that starts while the API server is silent: it remembers. The remembered state may only add to what
 * the kernel has; a kernel that knows more (a proxy that was restarted) keeps what it knows.
 */
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import type { ClusterFeed } from './cluster-feed.ts'
import { readState } from './cluster-state.ts'
import { type ClusterState, UnusableState } from './cluster-state-format.ts'

/** An API server that has said nothing for so long is not waited for. */
const SILENCE_MS = 700
/** One that answers, but cannot tell everything, gets this long. */
const PATIENCE_MS = 10_000
const LOOK_MS = 50

export interface MemoryOptions {
  /** `undefined`: nothing is kept. */
  readonly directory: string | undefined
  readonly nodeName: string
  readonly feed: Pick<ClusterFeed, 'inSync' | 'states'>
  readonly clock: Clock
  readonly log: Logger
}

export class ClusterMemory {
  readonly #options: MemoryOptions
  readonly #startedMs: number
  #reading: Promise<ClusterState | undefined> | undefined

  constructor(options: MemoryOptions) {
    this.#options = options
    this.#startedMs = options.clock.monotonic()
  }

  /** Resolves to what is remembered once the API server is found silent; to `undefined` when it is not. */
  async whenSilent(signal: AbortSignal): Promise<ClusterState | undefined> {
    const { feed, clock, directory } = this.#options
    if (directory === undefined) return undefined
    while (!this.#isSilent()) {
      if (feed.inSync || signal.aborted) return undefined
      await clock.sleep(LOOK_MS, signal).catch(() => undefined)
    }
    this.#reading ??= this.#read(directory)
    return this.#reading
  }

  #isSilent(): boolean {
    const { feed, clock } = this.#options
    if (feed.inSync) return false
    const waitedMs = clock.monotonic() - this.#startedMs
    const states = [...feed.states().values()]
    if (states.some(({ lastContactMs }) => lastContactMs !== undefined)) return waitedMs > PATIENCE_MS
    // Where every connection is refused, there is nothing to wait for; if one succeeds later, it still counts.
    const isRefused = states.every(({ lastError }) => lastError?.code === 'unreachable')
    return isRefused || waitedMs > SILENCE_MS
  }

  async #read(directory: string): Promise<ClusterState | undefined> {
    const { nodeName, clock, log } = this.#options
    try {
      const state = await readState(directory, { nodeName, nowMs: clock.now() })
      if (state === undefined)
        log.info({ directory }, 'The API server is silent, and no cluster state is on disk')
      return state
    } catch (error) {
      if (!(error instanceof UnusableState)) throw error
      log.warn({ directory, reason: error.message }, 'The cluster state on disk is ignored')
      return undefined
    }
  }
}
