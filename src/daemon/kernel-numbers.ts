/**
 * Numbers that only the kernel knows: read when monitoring asks, but not more often than every few seconds, and never
 * waited for longer than a scrape may take.
 */
import { readFile } from 'node:fs/promises'
import type { ProxyMetrics, ServiceConnections } from '../metrics/proxy-metrics.ts'
import type { KernelObject } from '../netfilter/kernel-state.ts'
import type { Clock } from '../runtime/clock.ts'
import type { FamilyPipeline } from '../sync/family-pipeline.ts'

const FRESH_MS = 10_000
const LONGEST_WAIT_MS = 2_000
const CONNTRACK = '/proc/sys/net/netfilter/nf_conntrack_'

export interface KernelNumbersOptions {
  readonly metrics: Pick<ProxyMetrics, 'setConntrackFill' | 'setPacketTotals' | 'setServiceConnections'>
  readonly pipelines: () => readonly FamilyPipeline<KernelObject>[]
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Text of a file; rejects where there is none. */
  readonly read?: (path: string) => Promise<string>
}

async function readText(path: string): Promise<string> {
  return readFile(path, 'utf8')
}

export class KernelNumbers {
  readonly #options: KernelNumbersOptions
  #reading: Promise<void> | undefined
  #readAtMs = -Infinity

  constructor(options: KernelNumbersOptions) {
    this.#options = options
  }

  /** Resolves when the numbers are fresh, or after two seconds; never rejects. */
  async refresh(): Promise<void> {
    const { clock } = this.#options
    const nowMs = clock.monotonic()
    if (this.#reading === undefined && nowMs - this.#readAtMs >= FRESH_MS) {
      this.#readAtMs = nowMs
      this.#reading = this.#readAll().finally(() => (this.#reading = undefined))
    }
    if (this.#reading === undefined) return
    const enough = new AbortController()
    const waiting = clock.sleep(LONGEST_WAIT_MS, enough.signal).catch(() => undefined)
    await Promise.race([this.#reading, waiting])
    enough.abort()
  }

  /** What cannot be read is left as it was. */
  async #readAll(): Promise<void> {
    await Promise.allSettled([this.#conntrack(), this.#packets(), this.#connections()])
  }

  async #conntrack(): Promise<void> {
    const { metrics, read = readText } = this.#options
    const [count, limit] = await Promise.all([read(`${CONNTRACK}count`), read(`${CONNTRACK}max`)])
    metrics.setConntrackFill(Number(count), Number(limit))
  }

  async #packets(): Promise<void> {
    const { metrics, pipelines, signal } = this.#options
    const asked = pipelines().flatMap(({ backend }) => backend.invalidDropped?.(signal) ?? [])
    if (asked.length === 0) return
    const known = await Promise.all(asked)
    metrics.setPacketTotals({ invalidDropped: known.reduce((sum, count) => sum + count, 0) })
  }

  async #connections(): Promise<void> {
    const { metrics, pipelines, signal } = this.#options
    const services = new Map<string, ServiceConnections>()
    for (const { backend, family, forwarding } of pipelines()) {
      if (backend.connections === undefined) return
      for (const [key, count] of await backend.connections(signal)) {
        const service = forwarding?.ports.get(key)?.service
        if (service === undefined) continue
        const [namespace = '', name = ''] = service.split('/')
        const before = services.get(`${family} ${service}`)?.count ?? 0
        services.set(`${family} ${service}`, { namespace, service: name, family, count: before + count })
      }
    }
    metrics.setServiceConnections([...services.values()])
  }
}
