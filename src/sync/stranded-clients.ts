/**
 * TCP clients that nobody has answered yet, because they were sent to an endpoint that is gone or began before there was
 * a rule: connection tracking would send each of their tries to nobody again. Half a second after a change that can
 * have left such clients, and before they try again after one, the flows without an answer are listed once and those
 * that contradict the decision are forgotten. A list of clients that wait is short, however many connections are open.
 */
import { FlowJudge } from '../backends/stale-flows.ts'
import { type MapChange, ShardedMap } from '../collections/sharded-map.ts'
import type { Forwarding, Frontend, PortForwarding } from '../forwarding/forwarding.ts'
import type { ServicePortKey } from '../model/service-port.ts'
import { createBackoff } from './backoff.ts'
import type { FlowLookOptions } from './flow-look.ts'
import { SyncLoop } from './sync-loop.ts'

/** Long enough that many changes are one look, shorter than the second after which TCP tries again (RFC 6298 §2). */
const LOOK_AFTER_MS = 500

export type PortChange = MapChange<ServicePortKey, PortForwarding>

export class StrandedClients {
  readonly #options: FlowLookOptions
  readonly #loop: SyncLoop
  /** Whose clients may wait in vain, as it is now; until it has been looked for them. */
  readonly #suspects = new Map<ServicePortKey, PortForwarding>()
  #forwarding: Forwarding | undefined

  constructor(options: FlowLookOptions) {
    this.#options = options
    const { clock, random, onFailure } = options
    this.#loop = new SyncLoop({
      clock,
      backoff: createBackoff({ firstMs: 200, maxMs: 30_000, random }),
      maxPauseMs: 0,
      run: (signal) => this.#run(signal),
      onFailure,
    })
  }

  /** The kernel now follows this decision, which differs from the last one by these changes. */
  consider(forwarding: Forwarding, changes: readonly PortChange[]): void {
    this.#forwarding = forwarding
    let someWait = false
    for (const { key, from, to } of changes) {
      const mayStrand = to !== undefined && mayStrandClients(from, to)
      if (to === undefined) this.#suspects.delete(key)
      else if (mayStrand || this.#suspects.has(key)) this.#suspects.set(key, to)
      someWait ||= mayStrand
    }
    if (someWait) this.#loop.request()
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#loop.start(signal)
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, family, table, onDeleted } = this.#options
    await clock.sleep(LOOK_AFTER_MS, signal)
    if (this.#forwarding === undefined || this.#suspects.size === 0) return
    const looked = new Map(this.#suspects)
    const startedMs = clock.monotonic()
    const flows = await table.list({ family, protocol: 'TCP', unanswered: true }, signal)
    const stale = flows.length === 0 ? [] : judgeOf(this.#forwarding, looked).staleFlows(flows)
    await table.delete(
      stale.map(({ flow }) => flow),
      signal,
    )
    if (stale.length > 0) onDeleted(stale, clock.monotonic() - startedMs)
    for (const [key, port] of looked) if (this.#suspects.get(key) === port) this.#suspects.delete(key)
  }
}

function judgeOf(forwarding: Forwarding, ports: ReadonlyMap<ServicePortKey, PortForwarding>): FlowJudge {
  return new FlowJudge({ ...forwarding, ports: ShardedMap.of(ports) })
}

/**
 * Clients may wait for an endpoint that has gone, or began before there was any. Who is sent to an endpoint that is
 * only added is fine.
 */
function mayStrandClients(from: PortForwarding | undefined, to: PortForwarding): boolean {
  if (to.protocol !== 'TCP') return false
  if (from === undefined || from.servingEndpoints.length === 0) return to.servingEndpoints.length > 0
  const serving = new Set(to.servingEndpoints)
  const hasLost = from.servingEndpoints.some((endpoint) => !serving.has(endpoint))
  return hasLost || to.frontends.some((frontend) => !from.frontends.some((other) => isSame(frontend, other)))
}

function isSame(one: Frontend, other: Frontend): boolean {
  return one.ip === other.ip && one.port === other.port && one.lastPort === other.lastPort
}
