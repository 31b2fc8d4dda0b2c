/**
 * One IP family from "something changed" to "the kernel follows": decide, reconcile, tell the result, and look after
 * drift. Two families are two pipelines that share nothing, so each is healthy or not by itself.
 */
import type { Backend, Drift } from '../backends/backend.ts'
import type { Forwarding } from '../forwarding/forwarding.ts'
import type { ClusterSnapshot, FamilySnapshot } from '../model/cluster-snapshot.ts'
import type { KernelObject, KernelState } from '../netfilter/kernel-state.ts'
import type { Family } from '../net/ip.ts'
import type { Clock } from '../runtime/clock.ts'
import { createBackoff } from './backoff.ts'
import { decideInSlices } from './decide-in-slices.ts'
import { watchDrift } from './drift-watch.ts'
import { firstNeededOf } from './priority.ts'
import { Reconciler, type ReconcilerOptions, type RefusedPort, type SyncResult } from './reconciler.ts'
import { SyncLoop } from './sync-loop.ts'

/** How often the backend is asked whether somebody else touched our objects: repairs begin within a second. */
const PROBE_INTERVAL_MS = 400
/** Backends that have work without any change of the decision (draining) are given a turn this often. */
const MAINTAIN_INTERVAL_MS = 1000
/** The kernel is read anew this often even when nothing points at drift. */
const RESYNC_INTERVAL_MS = 3_600_000

/** What a successful sync did, for metrics, health and those who act on the decision. */
export interface SyncReport extends SyncResult {
  readonly family: Family
  readonly revision: number
  readonly forwarding: Forwarding
  readonly totalMs: number
  /** The kernel had been changed by somebody else; what was noticed, and how long it took from there to the repair. */
  readonly repaired: { readonly drift: Drift; readonly tookMs: number } | undefined
}

export interface FamilyPipelineOptions<O extends KernelObject> {
  readonly family: Family
  readonly backend: Backend<O>
  readonly clock: Clock
  readonly random: () => number
  /** The newest snapshot, or `undefined` while Services and EndpointSlices are not both in sync. */
  readonly snapshot: () => ClusterSnapshot | undefined
  readonly decide: (snapshot: ClusterSnapshot) => Forwarding
  readonly maxPauseMs: number
  /** Is waited for: the sync is over when everybody has done what follows from it. */
  readonly onSynced: (report: SyncReport) => Promise<void>
  readonly onFailure: (family: Family, error: unknown, retryInMs: number) => void
  readonly onDrift: (family: Family, drift: Drift) => void
  readonly onProbeFailure: (family: Family, error: unknown) => void
  readonly onRefusal: ReconcilerOptions<O>['onRefusal']
}

export class FamilyPipeline<O extends KernelObject> {
  readonly #options: FamilyPipelineOptions<O>
  readonly #reconciler: Reconciler<O>
  readonly #loop: SyncLoop
  #running = false
  #pendingDrift: { readonly drift: Drift; readonly noticedAtMs: number } | undefined
  #forwarding: Forwarding | undefined
  #decided: FamilySnapshot | undefined

  constructor(options: FamilyPipelineOptions<O>) {
    this.#options = options
    const { backend, clock, onRefusal, maxPauseMs, random, family } = options
    this.#reconciler = new Reconciler({ backend, clock, onRefusal })
    this.#loop = new SyncLoop({
      clock,
      backoff: createBackoff({ firstMs: 200, maxMs: 30_000, random }),
      maxPauseMs,
      run: (signal) => this.#run(signal),
      onFailure: (error, retryInMs) => options.onFailure(family, error, retryInMs),
    })
  }

  get family(): Family {
    return this.#options.family
  }

  get backend(): Backend<O> {
    return this.#options.backend
  }

  /** The decision that was programmed last. */
  get forwarding(): Forwarding | undefined {
    return this.#forwarding
  }

  /** What we believe is in the kernel; `undefined` when we would have to look. */
  get believed(): KernelState<O> | undefined {
    return this.#reconciler.believed
  }

  get refused(): ReadonlyMap<string, RefusedPort> {
    return this.#reconciler.refused
  }

  /** Something may have changed. */
  request(): void {
    this.#loop.request()
  }

  /** Runs until the signal is aborted; never rejects. */
  async start(signal: AbortSignal): Promise<void> {
    const { backend, clock, family, onDrift, onProbeFailure } = this.#options
    const drift = watchDrift(
      {
        backend,
        clock,
        believed: () => this.believed,
        intervalMs: PROBE_INTERVAL_MS,
        isQuiet: () => !this.#running && this.#forwarding !== undefined && this.#pendingDrift === undefined,
        onDrift: (found, noticedAtMs) => {
          this.#pendingDrift = { drift: found, noticedAtMs }
          onDrift(family, found)
          this.#lookAgain()
        },
        onProbeFailure: (error) => onProbeFailure(family, error),
      },
      signal,
    )
    await Promise.all([this.#loop.start(signal), drift, this.#resync(signal), this.#maintain(signal)])
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { snapshot, decide, clock, family, onSynced } = this.#options
    const current = snapshot()
    if (current === undefined) return
    this.#running = true
    try {
      const startedMs = clock.monotonic()
      if (this.#decided === undefined) await this.#begin(current, signal)
      const forwarding = await decideInSlices(current, { family, decide, previous: this.#decided })
      this.#decided = current.families[family]
      const result = await this.#reconciler.sync(forwarding, signal)
      this.#forwarding = forwarding
      const repaired = this.#takeRepair(clock.monotonic())
      const { revision } = current
      await onSynced({
        ...result,
        family,
        revision,
        forwarding,
        totalMs: clock.monotonic() - startedMs,
        repaired,
      })
    } finally {
      this.#running = false
    }
  }

  /** Cold start: `kubernetes` and cluster DNS answer before the rest is decided, let alone planned. */
  async #begin(current: ClusterSnapshot, signal: AbortSignal): Promise<void> {
    const { decide, family } = this.#options
    const first = firstNeededOf(current, family)
    if (first === undefined) return
    const forwarding = decide(first)
    this.#decided = first.families[family]
    await this.#reconciler.begin(forwarding, signal)
  }

  async #maintain(signal: AbortSignal): Promise<void> {
    const { backend, clock, family, onProbeFailure } = this.#options
    if (backend.maintain === undefined) return
    for (;;) {
      await clock.sleep(MAINTAIN_INTERVAL_MS, signal).catch(() => undefined)
      if (signal.aborted) return
      if (this.#running || this.#forwarding === undefined) continue
      await backend.maintain(signal).catch((error: unknown) => onProbeFailure(family, error))
    }
  }

  #takeRepair(nowMs: number): SyncReport['repaired'] {
    const pending = this.#pendingDrift
    this.#pendingDrift = undefined
    return pending && { drift: pending.drift, tookMs: nowMs - pending.noticedAtMs }
  }

  #lookAgain(): void {
    this.#reconciler.forget()
    this.#loop.request()
  }

  async #resync(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#options.clock.sleep(RESYNC_INTERVAL_MS, signal).catch(() => undefined)
      this.#lookAgain()
    }
  }
}
