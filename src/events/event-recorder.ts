/**
 * Tells operators through events what they would otherwise look for in logs: about the Node and about Services.
 *
 * Events must never become a load: what is said again within ten minutes is not sent but counted, and the next event of
 * its kind says how often; each object has a small budget, and all together have one. A failed request is dropped: an
 * event is worth one attempt.
 */
import type { Clock } from '../runtime/clock.ts'
import type { KubernetesEvent } from '../watch/kubernetes-event.ts'

export type EventReason =
  | 'Starting'
  | 'FailedToStartProxierHealthcheck'
  | 'FailedToStartMetricServer'
  | 'FailedToStartServiceHealthcheck'
  | 'AddressConflict'
  | 'InvalidObject'
  | 'RefusedByKernel'
  | 'NotAvailableInMode'
  | 'NodePortTaken'
  | 'DriftRepaired'
  | 'ForeignProxy'

/** What happened, to whom. */
export interface Occurrence {
  readonly type: 'Normal' | 'Warning'
  readonly reason: EventReason
  /** What was done or tried, one word in UpperCamelCase: `StartKubeProxy`, `Listen`, `Program`. */
  readonly action: string
  /** A sentence for people; may be empty. */
  readonly note: string
  readonly about: EventSubject
}

export type EventSubject =
  | { readonly kind: 'Node'; readonly name: string }
  | { readonly kind: 'Service'; readonly namespace: string; readonly name: string; readonly uid?: string }

/** Sends one event; rejects when it could not. The API client is one. */
export interface EventSender {
  createEvent(event: KubernetesEvent, signal: AbortSignal): Promise<void>
}

export interface EventRecorderOptions {
  readonly sender: EventSender
  readonly clock: Clock
  /** Name of the host, for `reportingInstance`. */
  readonly host: string
  /** What became of each occurrence, for metrics and a debug line. */
  readonly onOutcome?: (
    outcome: 'sent' | 'failed' | 'left_out',
    occurrence: Occurrence,
    error?: unknown,
  ) => void
}

/** The same thing said again within this time is only counted. */
const SILENCE_MS = 600_000
/** Events in a row about one object, and the time after which one more is allowed. */
const OBJECT_BURST = 10
const OBJECT_REFILL_MS = 60_000
/** The same for all objects together. */
const TOTAL_BURST = 50
const TOTAL_REFILL_MS = 1000
/** What is remembered is bounded, whatever the cluster does. */
const MOST_REMEMBERED = 10_000

interface Said {
  readonly atMs: number
  repeats: number
}

export class EventRecorder {
  readonly #options: EventRecorderOptions
  readonly #said = new Map<string, Said>()
  readonly #budgets = new Map<string, Budget>()
  readonly #total: Budget
  #sequence = 0

  constructor(options: EventRecorderOptions) {
    this.#options = options
    this.#total = new Budget(TOTAL_BURST, TOTAL_REFILL_MS, options.clock.now())
  }

  /** Returns at once; the request goes on by itself and never rejects. */
  record(occurrence: Occurrence, signal: AbortSignal): void {
    const { clock, host, sender, onOutcome } = this.#options
    const nowMs = clock.now()
    const repeats = this.#mayBeSaid(occurrence, nowMs)
    if (repeats === undefined) {
      onOutcome?.('left_out', occurrence)
      return
    }
    sender
      .createEvent(buildEvent(occurrence, { host, nowMs, repeats, sequence: this.#sequence++ }), signal)
      .then(
        () => onOutcome?.('sent', occurrence),
        (error: unknown) => onOutcome?.('failed', occurrence, error),
      )
  }

  /** How often the same was left out since it was last sent; `undefined`: it is to be left out again. */
  #mayBeSaid(occurrence: Occurrence, nowMs: number): number | undefined {
    const key = JSON.stringify([occurrence.reason, occurrence.note, occurrence.about])
    const said = this.#said.get(key)
    const object = JSON.stringify(occurrence.about)
    const budget = this.#budgets.get(object) ?? new Budget(OBJECT_BURST, OBJECT_REFILL_MS, nowMs)
    remember(this.#budgets, object, budget)
    const isFresh = said === undefined || nowMs - said.atMs >= SILENCE_MS
    if (!isFresh || !budget.take(nowMs) || !this.#total.take(nowMs)) {
      if (said !== undefined) said.repeats++
      return undefined
    }
    remember(this.#said, key, { atMs: nowMs, repeats: 0 })
    return said?.repeats ?? 0
  }
}

/** Newest last; the oldest is forgotten when there are too many. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key)
  map.set(key, value)
  const [oldest] = map.keys()
  if (map.size > MOST_REMEMBERED && oldest !== undefined) map.delete(oldest)
}

/** A token bucket. */
class Budget {
  readonly #burst: number
  readonly #refillMs: number
  #tokens: number
  #atMs: number

  constructor(burst: number, refillMs: number, nowMs: number) {
    this.#burst = burst
    this.#refillMs = refillMs
    this.#tokens = burst
    this.#atMs = nowMs
  }

  take(nowMs: number): boolean {
    this.#tokens = Math.min(this.#burst, this.#tokens + Math.max(0, nowMs - this.#atMs) / this.#refillMs)
    this.#atMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}

/** The event as the API takes it. Pure; `sequence` keeps the names of two events of one millisecond apart. */
export function buildEvent(
  { type, reason, action, note, about }: Occurrence,
  facts: {
    readonly host: string
    readonly nowMs: number
    readonly repeats: number
    readonly sequence: number
  },
): KubernetesEvent {
  const namespace = about.kind === 'Node' ? 'default' : about.namespace
  const again = facts.repeats === 0 ? '' : ` (and ${facts.repeats} more times since it was last reported)`
  // As in Kubernetes' own recorder: nanoseconds in hexadecimal; ours are the number of the event in this process.
  const suffix = (BigInt(facts.nowMs) * 1_000_000n + BigInt(facts.sequence % 1_000_000)).toString(16)
  const regarding =
    about.kind === 'Node'
      ? // The kubelet and kube-proxy use the name as UID, and `kubectl describe node` looks for that.
        { apiVersion: 'v1', kind: 'Node', name: about.name, uid: about.name }
      : {
          apiVersion: 'v1',
          kind: 'Service',
          name: about.name,
          namespace: about.namespace,
          ...(about.uid === undefined ? {} : { uid: about.uid }),
        }
  return {
    namespace,
    name: `${about.name.slice(0, 200)}.${suffix}`,
    type,
    reason,
    action,
    note: note + again,
    regarding,
    reportingController: 'kube-proxy',
    reportingInstance: `kube-proxy-${facts.host}`,
    timeMs: facts.nowMs,
  }
}
