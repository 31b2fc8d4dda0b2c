/**
 * New endpoints of a Service with `fairlead.io/slow-start` get a growing share of the new connections. Time comes in as
 * an argument, so the same calls give the same weights.
 *
 * What is there when a service port is seen for the first time is warm: a restart of the proxy is no reason to hold
 * back a running endpoint.
 */
import type { ServicePortKey } from '../model/service-port.ts'
import { hostPort } from '../net/ip.ts'
import type { Target } from './forwarding.ts'

/** A share grows in this many equal steps; each of them is a change in the kernel. */
const STEPS = 10

interface Warming {
  /** When each known endpoint was first usable; `undefined`: it is warm. */
  readonly since: ReadonlyMap<string, number | undefined>
  readonly nextChangeMs: number | undefined
}

export class SlowStart {
  readonly #ports = new Map<ServicePortKey, Warming>()

  /** Notes which endpoints are usable now, and returns the share (0 to 1] that each of them gets of its weight. */
  observe(
    key: ServicePortKey,
    targets: readonly Target[],
    at: { readonly nowMs: number; readonly seconds: number },
  ): (target: Target) => number {
    const windowMs = at.seconds * 1000
    const before = this.#ports.get(key)?.since
    const since = new Map<string, number | undefined>()
    const shares = new Map<string, number>()
    let nextChangeMs: number | undefined
    for (const target of targets) {
      const text = hostPort(target.ip, target.port)
      const start = before === undefined ? undefined : before.has(text) ? before.get(text) : at.nowMs
      const step = start === undefined ? STEPS : Math.floor(((at.nowMs - start) * STEPS) / windowMs) + 1
      if (start === undefined || step >= STEPS) {
        since.set(text, undefined)
        continue
      }
      since.set(text, start)
      shares.set(text, step / STEPS)
      const changeMs = start + (step * windowMs) / STEPS
      nextChangeMs = Math.min(nextChangeMs ?? changeMs, changeMs)
    }
    this.#ports.set(key, { since, nextChangeMs })
    return (target) => shares.get(hostPort(target.ip, target.port)) ?? 1
  }

  forget(key: ServicePortKey): void {
    this.#ports.delete(key)
  }

  /** Service ports whose weights have grown by now. */
  due(nowMs: number): readonly ServicePortKey[] {
    return [...this.#ports]
      .filter(([, { nextChangeMs }]) => nextChangeMs !== undefined && nextChangeMs <= nowMs)
      .map(([key]) => key)
  }

  /** When the next weight grows; `undefined`: everything is warm. */
  nextChangeMs(): number | undefined {
    let next: number | undefined
    for (const { nextChangeMs } of this.#ports.values())
      if (nextChangeMs !== undefined && (next === undefined || nextChangeMs < next)) next = nextChangeMs
    return next
  }
}

/** The weight with this share of it: at least 1, because 0 would mean "no new connections". */
export function scaledWeight(weight: number, share: number): number {
  return Math.max(1, Math.round(weight * share))
}
