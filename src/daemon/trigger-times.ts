/**
 * How long it took from the change of a Pod or Service to the kernel: the EndpointSlice controller writes the time of
 * the change into each slice (`endpoints.kubernetes.io/last-change-trigger-time`), and a sync makes it true.
 */
import type { ResourceEvent } from '../model/resource-event.ts'
import type { Family } from '../net/ip.ts'

const ANNOTATION = 'endpoints.kubernetes.io/last-change-trigger-time'
/** More than this many waiting at once say nothing that fewer do not. */
const MOST_PENDING = 10_000

interface SliceLike {
  readonly addressType?: unknown
  readonly metadata?: { readonly annotations?: Readonly<Record<string, unknown>> }
}

export class TriggerTimes {
  readonly #startedMs: number
  readonly #pending: Record<Family, number[]> = { IPv4: [], IPv6: [] }

  /** Times before the start of the process are not ours to answer for. */
  constructor(startedMs: number) {
    this.#startedMs = startedMs
  }

  note(event: ResourceEvent): void {
    if (event.resource !== 'EndpointSlice' || event.type !== 'changed') return
    const slice = event.object as SliceLike | null
    const atMs = Date.parse(String(slice?.metadata?.annotations?.[ANNOTATION]))
    const family = slice?.addressType
    if (Number.isNaN(atMs) || atMs < this.#startedMs || (family !== 'IPv4' && family !== 'IPv6')) return
    if (this.#pending[family].length < MOST_PENDING) this.#pending[family].push(atMs)
  }

  /** Milliseconds from each noted change to now; they are forgotten. */
  take(family: Family, nowMs: number): readonly number[] {
    const times = this.#pending[family]
    this.#pending[family] = []
    return times.map((atMs) => Math.max(0, nowMs - atMs))
  }
}
