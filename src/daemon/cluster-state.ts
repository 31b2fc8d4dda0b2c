/**
 * Keeps the last cluster state on disk, for a node that boots while the API server cannot be reached. Nothing waits for
 * it: it is written when the cluster has been calm for a moment, in slices, and a disk that fails is told and borne.
 */
import { createReadStream } from 'node:fs'
import { mkdir, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ClusterSnapshot } from '../model/cluster-snapshot.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import { type ClusterState, encodeState, StateDecoder, UnusableState } from './cluster-state-format.ts'

const FILE = 'cluster-state.jsonl'
/** Without a change for so long, what is known is written. */
const CALM_MS = 2000
/** A cluster that never comes to rest is written this often. */
const LONGEST_WAIT_MS = 30_000
const LOOK_MS = 500
/** Lines that are encoded before others get their turn. */
const SLICE = 500
/** A state that is older says nothing about the cluster of today. */
const OLDEST_MS = 30 * 24 * 3600 * 1000

/** Writes so that a reader finds the old file or the new one, whatever happens meanwhile. Rejects when the disk fails. */
export async function writeState(
  directory: string,
  snapshot: ClusterSnapshot,
  savedMs: number,
): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, FILE)
  const file = await open(`${path}.tmp`, 'w', 0o600)
  try {
    let lines: string[] = []
    const flush = async (): Promise<void> => {
      await file.write(lines.join(''))
      lines = []
      await nextTurn()
    }
    for (const line of encodeState(snapshot, savedMs)) if (lines.push(line) >= SLICE) await flush()
    await flush()
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.tmp`, path)
}

export interface ReadOptions {
  readonly nodeName: string
  readonly nowMs: number
}

/** `undefined`: there is none. Throws UnusableState for one that is damaged, too old, or not this node's. */
export async function readState(directory: string, options: ReadOptions): Promise<ClusterState | undefined> {
  const path = join(directory, FILE)
  const decoder = new StateDecoder()
  try {
    for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity }))
      decoder.push(line)
  } catch (error) {
    if (error instanceof UnusableState) throw error
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new UnusableState(`it cannot be read: ${(error as Error).message}`)
  }
  const state = decoder.end()
  if (state.node.name !== options.nodeName)
    throw new UnusableState(`it is of node ${state.node.name}, and this is ${options.nodeName}`)
  if (options.nowMs - state.savedMs > OLDEST_MS)
    throw new UnusableState(`it is of ${new Date(state.savedMs).toISOString()}, too long ago`)
  return state
}

export interface StateKeeperOptions {
  readonly directory: string
  /** What is to be kept; `undefined`: nothing yet that came from the API server. */
  readonly snapshot: () => ClusterSnapshot | undefined
  readonly clock: Clock
  readonly log: Logger
}

export class StateKeeper {
  readonly #options: StateKeeperOptions
  #written: ClusterSnapshot | undefined
  #firstMs: number | undefined
  #lastMs = 0
  #failure = ''

  constructor(options: StateKeeperOptions) {
    this.#options = options
  }

  /** Something changed and is in the kernel. Costs nothing. */
  changed(): void {
    this.#lastMs = this.#options.clock.monotonic()
    this.#firstMs ??= this.#lastMs
  }

  /** Runs until the signal is aborted, and then writes what still waits; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    for (;;) {
      await clock.sleep(LOOK_MS, signal).catch(() => undefined)
      if (signal.aborted || this.#isDue()) await this.#writeWaiting()
      if (signal.aborted) return
    }
  }

  #isDue(): boolean {
    if (this.#firstMs === undefined) return false
    const nowMs = this.#options.clock.monotonic()
    return nowMs - this.#lastMs >= CALM_MS || nowMs - this.#firstMs >= LONGEST_WAIT_MS
  }

  async #writeWaiting(): Promise<void> {
    if (this.#firstMs === undefined) return
    this.#firstMs = undefined
    await this.#write()
  }

  async #write(): Promise<void> {
    const { directory, snapshot, clock, log } = this.#options
    const current = snapshot()
    if (current === undefined || current === this.#written) return
    try {
      const startedMs = clock.monotonic()
      await writeState(directory, current, clock.now())
      this.#written = current
      this.#failure = ''
      const durationMs = Math.round(clock.monotonic() - startedMs)
      log.debug({ directory, revision: current.revision, durationMs }, 'Kept the cluster state on disk')
    } catch (error) {
      const reason = (error as Error).message
      if (reason !== this.#failure)
        log.warn(
          { directory, reason },
          'Cannot keep the cluster state; a boot without API server has no Services',
        )
      this.#failure = reason
    }
  }
}
