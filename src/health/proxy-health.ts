/**
 * Whether the proxy is alive and current, as `/healthz` and `/livez` report it. Pure state: times are handed in.
 *
 * The rule is kube-proxy's: a family is unhealthy when a change has been waiting for longer than twice the sync period
 * and no run has succeeded since it came. No change waiting is healthy, however long ago the last run was.
 */
import type { Family } from '../net/ip.ts'

export interface ProxyHealthOptions {
  /** Families that are proxied on this node. */
  readonly families: readonly Family[]
  /** Twice the sync period. */
  readonly timeoutMs: number
}

export interface FamilyHealth {
  /** Milliseconds since the epoch of the last successful run; `undefined` before the first. */
  readonly updatedMs: number | undefined
  readonly healthy: boolean
}

export interface HealthReport {
  readonly nowMs: number
  /** The newest successful run of any family. */
  readonly updatedMs: number | undefined
  readonly healthy: boolean
  /** The node is known, stays, and is not about to be removed. */
  readonly nodeEligible: boolean
  readonly families: ReadonlyMap<Family, FamilyHealth>
  /** One line for each reason why what is programmed may be out of date; empty: none is known. */
  readonly stale: readonly string[]
}

export class ProxyHealth {
  readonly #families: readonly Family[]
  #timeoutMs: number
  readonly #updatedMs = new Map<Family, number>()
  /** Since when a change has been waiting. */
  readonly #waitingSinceMs = new Map<Family, number>()
  #nodeEligible = false
  readonly #stale = new Map<string, string>()

  constructor(options: ProxyHealthOptions) {
    this.#families = options.families
    this.#timeoutMs = options.timeoutMs
  }

  /** The sync period may change while we run. */
  setTimeout(timeoutMs: number): void {
    this.#timeoutMs = timeoutMs
  }

  /** A change waits to be applied. */
  queued(family: Family, nowMs: number): void {
    if (!this.#waitingSinceMs.has(family)) this.#waitingSinceMs.set(family, nowMs)
  }

  /** A run succeeded: the kernel has everything that was known when it began. */
  updated(family: Family, nowMs: number): void {
    this.#waitingSinceMs.delete(family)
    this.#updatedMs.set(family, nowMs)
  }

  /** False until the Node object is known. */
  setNodeEligible(eligible: boolean): void {
    this.#nodeEligible = eligible
  }

  /** Says why what is programmed may be out of date, or with `undefined` that `source` has recovered. */
  setStale(source: string, reason: string | undefined): void {
    if (reason === undefined) this.#stale.delete(source)
    else this.#stale.set(source, reason)
  }

  isHealthy(nowMs: number): boolean {
    return this.#families.every((family) => this.#isCurrent(family, nowMs))
  }

  report(nowMs: number): HealthReport {
    const families = new Map<Family, FamilyHealth>()
    for (const family of this.#families)
      families.set(family, {
        updatedMs: this.#updatedMs.get(family),
        healthy: this.#isCurrent(family, nowMs),
      })
    const updates = [...this.#updatedMs.values()]
    return {
      nowMs,
      updatedMs: updates.length === 0 ? undefined : Math.max(...updates),
      healthy: this.isHealthy(nowMs),
      nodeEligible: this.#nodeEligible,
      families,
      stale: [...this.#stale.values()],
    }
  }

  #isCurrent(family: Family, nowMs: number): boolean {
    const since = this.#waitingSinceMs.get(family)
    return since === undefined || nowMs - since <= this.#timeoutMs
  }
}
