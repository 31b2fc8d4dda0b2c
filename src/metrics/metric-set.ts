import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { BackendName } from '../backends/backend.ts'
import { METRICS, type MetricKey, type MetricRow, metricsOf } from './metric-table.ts'

export type Labels = Readonly<Record<string, string>>

/** The metrics of one mode. What the mode does not have is taken and forgotten, so that callers need not ask. */
export class MetricSet {
  readonly #registry: Registry
  readonly #allowed: ReadonlySet<MetricKey>
  readonly #counters = new Map<MetricKey, Counter>()
  readonly #gauges = new Map<MetricKey, Gauge>()
  readonly #histograms = new Map<MetricKey, Histogram>()
  /** Last values of counters that somebody else counts. */
  readonly #totals = new Map<MetricKey, number>()

  constructor(registry: Registry, mode: BackendName) {
    this.#registry = registry
    const rows = metricsOf(mode)
    this.#allowed = new Set(rows.map(([key]) => key))
    for (const [key, row] of rows) if (row.lazy !== true) this.#register(key)
  }

  add(key: MetricKey, amount: number, labels: Labels = {}): void {
    this.#register(key)
    this.#counters.get(key)?.inc(labels, amount)
  }

  set(key: MetricKey, value: number, labels: Labels = {}): void {
    this.#register(key)
    this.#gauges.get(key)?.set(labels, value)
  }

  observe(key: MetricKey, value: number, labels: Labels = {}): void {
    this.#register(key)
    this.#histograms.get(key)?.observe(labels, value)
  }

  /** Takes over a total that is counted elsewhere; a smaller one than before began again at zero. */
  addUpTo(key: MetricKey, total: number): void {
    const before = this.#totals.get(key) ?? 0
    this.#totals.set(key, total)
    this.add(key, total >= before ? total - before : total)
  }

  /** Removes all series of a gauge, before a complete new set of them. */
  clear(key: MetricKey): void {
    this.#gauges.get(key)?.reset()
  }

  #register(key: MetricKey): void {
    if (!this.#allowed.has(key)) return
    if (this.#counters.has(key) || this.#gauges.has(key) || this.#histograms.has(key)) return
    const { name, type, help, labels, buckets }: MetricRow = METRICS[key]
    const common = {
      name,
      help: `[ALPHA] ${help}`,
      labelNames: [...(labels ?? [])],
      registers: [this.#registry],
    }
    if (type === 'counter') this.#counters.set(key, new Counter(common))
    else if (type === 'gauge') this.#gauges.set(key, new Gauge(common))
    else this.#histograms.set(key, new Histogram({ ...common, buckets: [...(buckets ?? [])] }))
  }
}
