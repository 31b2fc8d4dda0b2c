/**
 * Keeps connection tracking true to the decision: after every change that can matter, the flows of a family are listed,
 * judged, and those that contradict the decision are forgotten. Level-triggered, so it is the same after a restart, and
 * never a full flush. Of the decision only the ports that flows are judged for are kept, so that one change costs as
 * much as itself, however many other ports there are.
 */
import { FlowJudge, type StaleFlow } from '../backends/stale-flows.ts'
import { ShardedMap } from '../collections/sharded-map.ts'
import type { Forwarding, PortForwarding } from '../forwarding/forwarding.ts'
import type { Flow } from '../netfilter/conntrack/flow.ts'
import type { Family } from '../net/ip.ts'
import type { Protocol } from '../net/protocol.ts'
import type { Clock } from '../runtime/clock.ts'
import { createBackoff } from './backoff.ts'
import { SyncLoop } from './sync-loop.ts'

/** Flows that were born while the kernel was being changed are found by a second look. */
const SECOND_LOOK_MS = 500

/** The connection tracking table, as far as this is about it. */
export interface FlowTable {
  list(family: Family, protocol: Protocol, signal: AbortSignal): Promise<Flow[]>
  delete(flows: readonly Flow[], signal: AbortSignal): Promise<void>
}

export interface FlowReconcilerOptions {
  readonly family: Family
  readonly table: FlowTable
  readonly clock: Clock
  readonly random: () => number
  readonly onDeleted: (flows: readonly StaleFlow[], tookMs: number) => void
  readonly onFailure: (error: unknown, retryInMs: number) => void
}

export class FlowReconciler {
  readonly #options: FlowReconcilerOptions
  readonly #loop: SyncLoop
  /** Since when a flow that may live on for a while has been stale. */
  readonly #staleSinceMs = new Map<string, number>()
  /** All ports of the newest decision; below, the decisions now and before, reduced to the ports that matter here. */
  #allPorts: Forwarding['ports'] = ShardedMap.empty()
  #forwarding: Forwarding | undefined
  #former: Forwarding | undefined
  #looksLeft = 0

  constructor(options: FlowReconcilerOptions) {
    this.#options = options
    const { clock, random, onFailure } = options
    this.#loop = new SyncLoop({
      clock,
      backoff: createBackoff({ firstMs: 200, maxMs: 30_000, random }),
      maxPauseMs: 1000,
      run: (signal) => this.#run(signal),
      onFailure,
    })
  }

  /** The kernel now follows this decision. */
  consider(forwarding: Forwarding): void {
    const before = this.#forwarding
    this.#forwarding = { ...forwarding, ports: this.#judgedPorts(forwarding) }
    if (before?.ports === this.#forwarding.ports) return
    this.#former = before
    this.#looksLeft = 2
    this.#loop.request()
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#loop.start(signal)
  }

  /** Those that can have stale flows; the same map as last time when none of them changed. */
  #judgedPorts({ ports }: Forwarding): Forwarding['ports'] {
    const changes = [...this.#allPorts.changesTo(ports)]
    this.#allPorts = ports
    const judged = this.#forwarding?.ports ?? ShardedMap.empty()
    return judged.with(
      changes.map(({ key, to }) => [key, to !== undefined && mayHaveStaleFlows(to) ? to : undefined]),
    )
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, onDeleted } = this.#options
    if (this.#forwarding === undefined) return
    const startedMs = clock.monotonic()
    const stale = await this.#staleFlows(this.#forwarding, signal)
    const due = stale.filter((flow) => this.#isDue(flow, clock.monotonic()))
    await this.#options.table.delete(
      due.map(({ flow }) => flow),
      signal,
    )
    for (const { flow } of due) this.#staleSinceMs.delete(keyOf(flow))
    if (due.length > 0) onDeleted(due, clock.monotonic() - startedMs)
    this.#looksLeft--
    if (this.#looksLeft > 0 || due.length < stale.length) void this.#lookLater(signal)
  }

  async #staleFlows(forwarding: Forwarding, signal: AbortSignal): Promise<readonly StaleFlow[]> {
    const { family, table } = this.#options
    const judge = new FlowJudge(forwarding, this.#former)
    const stale: StaleFlow[] = []
    for (const protocol of protocolsOf(forwarding, this.#former))
      stale.push(...judge.staleFlows(await table.list(family, protocol, signal)))
    return stale
  }

  #isDue({ flow, afterSeconds }: StaleFlow, nowMs: number): boolean {
    const key = keyOf(flow)
    const sinceMs = this.#staleSinceMs.get(key) ?? nowMs
    this.#staleSinceMs.set(key, sinceMs)
    return nowMs - sinceMs >= afterSeconds * 1000
  }

  async #lookLater(signal: AbortSignal): Promise<void> {
    await this.#options.clock.sleep(SECOND_LOOK_MS, signal).catch(() => undefined)
    this.#loop.request()
  }
}

function keyOf(flow: Flow): string {
  const { protocol, source, sourcePort, destination, destinationPort, replySource, replySourcePort } = flow
  return [protocol, source, sourcePort, destination, destinationPort, replySource, replySourcePort].join()
}

/** TCP flows end by themselves unless the Service asks for something else. */
function mayHaveStaleFlows(port: PortForwarding): boolean {
  return port.protocol !== 'TCP' || port.onEndpointRemoval.action !== 'default'
}

function protocolsOf(forwarding: Forwarding, former: Forwarding | undefined): ReadonlySet<Protocol> {
  const protocols = new Set<Protocol>()
  for (const ports of [forwarding.ports, former?.ports])
    for (const port of ports?.values() ?? []) protocols.add(port.protocol)
  return protocols
}
