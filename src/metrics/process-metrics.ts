/**
 * The metrics that every process has for Prometheus: processor, memory, files, start. Read at each scrape.
 *
 * prom-client's own collection is not used: it asks the runtime for its active handles through an interface that is
 * not public, and that ends the process with an assertion when a handle is just being collected.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { Counter, Gauge, type Registry } from 'prom-client'

export class ProcessMetrics {
  readonly #cpu: Counter
  readonly #gauges: Readonly<Record<'resident' | 'virtual' | 'openFiles' | 'maxFiles', Gauge>>
  #cpuSeconds = 0

  constructor(registry: Registry) {
    const registers = [registry]
    const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers })
    this.#cpu = new Counter({
      name: 'process_cpu_seconds_total',
      help: 'Processor time of this process, in user and system mode.',
      registers,
    })
    this.#gauges = {
      resident: gauge('process_resident_memory_bytes', 'Memory of this process that is in RAM.'),
      virtual: gauge('process_virtual_memory_bytes', 'Address space of this process.'),
      openFiles: gauge('process_open_fds', 'Open files of this process.'),
      maxFiles: gauge('process_max_fds', 'Files that this process may have open.'),
    }
    const start = gauge('process_start_time_seconds', 'When this process began.')
    start.set(Math.round(Date.now() - process.uptime() * 1000) / 1000)
  }

  /** Takes over the values of this moment; what /proc does not tell keeps its last value. */
  measure(): void {
    const { user, system } = process.cpuUsage()
    const seconds = (user + system) / 1e6
    this.#cpu.inc(Math.max(0, seconds - this.#cpuSeconds))
    this.#cpuSeconds = seconds
    this.#gauges.resident.set(process.memoryUsage.rss())
    try {
      const kilobytes = /^VmSize:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
      this.#gauges.virtual.set(Number(kilobytes) * 1024)
      this.#gauges.openFiles.set(readdirSync('/proc/self/fd').length)
      const limit = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
      this.#gauges.maxFiles.set(limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit))
    } catch {
      // Without /proc these stay as they are.
    }
  }
}
