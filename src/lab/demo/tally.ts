/**
 * Adds up what the clients saw: connections per client, pod and phase, failures with their time, and how long after
 * each new endpoint the first connection reached it. Pure; times are milliseconds since the epoch.
 */
import type { LoadReport } from '../load-client.ts'

export type ClientKind = 'pod' | 'node' | 'outside'
export const CLIENT_KINDS: readonly ClientKind[] = ['pod', 'node', 'outside']

/** What happens to the pods while the clients connect. */
export type Phase = 'calm' | 'rolling-restart' | 'kill' | 'scale-to-zero' | 'scale-back'

export interface Failure {
  readonly client: ClientKind
  readonly atMs: number
  readonly why: string
  readonly phase: Phase
}

/** An endpoint that the API began to name, and when the first connection reached it (`undefined`: not yet). */
export interface Arrival {
  readonly pod: string
  readonly announcedMs: number
  reachedMs: number | undefined
}

/** Connections answered in a quarter of a second, by pod, and those begun in it that failed. */
export interface Slot {
  readonly fromMs: number
  readonly byPod: Map<string, number>
  failed: number
}

const INTERVAL_MS = 250

export class Tally {
  readonly failures: Failure[] = []
  readonly arrivals: Arrival[] = []
  /** In the order of time. */
  readonly slots: Slot[] = []
  readonly #answered = new Map<ClientKind, number>()
  readonly #byPod = new Map<string, number>()
  readonly #phases: { readonly phase: Phase; readonly fromMs: number }[] = []
  readonly #tookMs: number[] = []

  beginPhase(phase: Phase, atMs: number): void {
    this.#phases.push({ phase, fromMs: atMs })
  }

  /** The API names a ready endpoint that it did not name before. */
  announce(pod: string, atMs: number): void {
    this.arrivals.push({ pod, announcedMs: atMs, reachedMs: undefined })
  }

  add(client: ClientKind, report: LoadReport): void {
    const slot = this.#slotAt(report.atMs)
    for (const [pod, { count, firstMs }] of Object.entries(report.answered)) {
      this.#answered.set(client, (this.#answered.get(client) ?? 0) + count)
      this.#byPod.set(pod, (this.#byPod.get(pod) ?? 0) + count)
      slot.byPod.set(pod, (slot.byPod.get(pod) ?? 0) + count)
      this.#reach(pod, firstMs)
    }
    for (const { atMs, why } of report.failed) {
      this.#slotAt(atMs).failed++
      this.failures.push({ client, atMs, why, phase: this.phaseAt(atMs) })
    }
    this.#tookMs.push(...report.tookMs)
  }

  phaseAt(atMs: number): Phase {
    return this.#phases.findLast(({ fromMs }) => fromMs <= atMs)?.phase ?? 'calm'
  }

  totals(): Record<ClientKind, { total: number; failed: number }> {
    const of = (client: ClientKind): { total: number; failed: number } => {
      const failed = this.failures.filter((failure) => failure.client === client).length
      return { total: (this.#answered.get(client) ?? 0) + failed, failed }
    }
    return { pod: of('pod'), node: of('node'), outside: of('outside') }
  }

  failedIn(phase: Phase): readonly Failure[] {
    return this.failures.filter((failure) => failure.phase === phase)
  }

  /** Answered connections by pod, most first. */
  distribution(): readonly (readonly [string, number])[] {
    return [...this.#byPod].sort((a, b) => b[1] - a[1])
  }

  /** From the API's announcement of an endpoint to the first connection that reached it, sorted. */
  propagationMs(): readonly number[] {
    const reached = this.arrivals.flatMap(({ announcedMs, reachedMs }) =>
      reachedMs === undefined ? [] : [reachedMs - announcedMs],
    )
    return reached.sort((a, b) => a - b)
  }

  connectionMs(): readonly number[] {
    return this.#tookMs.toSorted((a, b) => a - b)
  }

  #reach(pod: string, atMs: number): void {
    for (const arrival of this.arrivals)
      if (arrival.pod === pod && arrival.reachedMs === undefined && atMs >= arrival.announcedMs)
        arrival.reachedMs = atMs
  }

  #slotAt(atMs: number): Slot {
    const fromMs = Math.floor(atMs / INTERVAL_MS) * INTERVAL_MS
    const known = this.slots.findLast((slot) => slot.fromMs === fromMs)
    if (known !== undefined) return known
    const slot = { fromMs, byPod: new Map<string, number>(), failed: 0 }
    const after = this.slots.findLastIndex((other) => other.fromMs < fromMs)
    this.slots.splice(after + 1, 0, slot)
    return slot
  }
}

/** The value below which this share of a sorted list lies; `undefined` for an empty one. */
export function percentile(sorted: readonly number[], share: number): number | undefined {
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? sorted[0]
}
