import { Counter, Gauge, Registry } from 'prom-client'

/** The metrics of /metrics/slis: how often which health check succeeded. They begin anew when asked to. */
export class HealthSlis {
  readonly #registry = new Registry()
  readonly #now: Gauge
  readonly #all: Counter
  readonly #startTime: Gauge
  readonly #startedMs: number

  constructor(startedMs: number) {
    this.#startedMs = startedMs
    const registers = [this.#registry]
    this.#now = new Gauge({
      name: 'kubernetes_healthcheck',
      help: '[STABLE] The last result of a health check: 1 success, 0 error.',
      labelNames: ['name', 'type'],
      registers,
    })
    this.#all = new Counter({
      name: 'kubernetes_healthchecks_total',
      help: '[STABLE] Results of health checks.',
      labelNames: ['name', 'type', 'status'],
      registers,
    })
    this.#startTime = new Gauge({
      name: 'process_start_time_seconds',
      help: '[STABLE] When this process began.',
      registers,
    })
    this.#startTime.set(startedMs / 1000)
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  record(name: string, ok: boolean): void {
    this.#now.set({ name, type: 'healthz' }, Number(ok))
    this.#all.inc({ name, type: 'healthz', status: ok ? 'success' : 'error' })
  }

  text(): Promise<string> {
    return this.#registry.metrics()
  }

  reset(): void {
    this.#registry.resetMetrics()
    this.#startTime.set(this.#startedMs / 1000)
  }
}
