/**
 * Keeps connection tracking true to the decision: after every change that can matter, the flows of a family are listed,
 * judged, and those that contradict the decision are forgotten. Level-triggered, so it is the same after a restart, and
 * never a full flush. Of the decision only the ports that flows are judged for are kept, so that one change costs as
 * much as itself, however many other ports there are. TCP ports are among them only while clients may wait in vain.
 */
import { FlowJudge, type StaleFlow } from '../backends/stale-flows.ts'
import { ShardedMap } from '../collections/sharded-map.ts'
import type { Forwarding, PortForwarding } from '../forwarding/forwarding.ts'
import type { Flow } from '../netfilter/conntrack/flow.ts'
import type { Protocol } from '../net/protocol.ts'
import { createBackoff } from './backoff.ts'
import type { FlowLookOptions } from './flow-look.ts'
import { type PortChange, StrandedClients } from './stranded-clients.ts'
import { SyncLoop } from './sync-loop.ts'

/** Flows that were born while the kernel was being changed are found by a second look. */
const SECOND_LOOK_MS = 500

export class FlowReconciler {
  readonly #options: FlowLookOptions
  readonly #loop: SyncLoop
  /** Since when a flow that may live on for a while has been stale. */
  readonly #staleSinceMs = new Map<string, number>()
  /** All ports of the newest decision; below, the decisions now and before, reduced to the ports that matter here. */
  #allPorts: Forwarding['ports'] = ShardedMap.empty()
  #forwarding: Forwarding | undefined
  #former: Forwarding | undefined
  readonly #strandedClients: StrandedClients
  #looksLeft = 0
  /** How many decisions there were: tells whether there was a new one while the kernel was asked. */
  #decisions = 0

  constructor(options: FlowLookOptions) {
    this.#options = options
    this.#strandedClients = new StrandedClients(options)
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
    const changes = [...this.#allPorts.changesTo(forwarding.ports)]
    this.#allPorts = forwarding.ports
    this.#forwarding = { ...forwarding, ports: this.#judgedPorts(changes) }
    this.#strandedClients.consider(forwarding, changes)
    if (before?.ports === this.#forwarding.ports) return
    this.#former = before
    this.#looksLeft = 2
    this.#decisions++
    this.#loop.request()
  }

  async start(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#loop.start(signal), this.#strandedClients.start(signal)])
  }

  /** Those that can have stale flows at any time; the same map as last time when none of them changed. */
  #judgedPorts(changes: readonly PortChange[]): Forwarding['ports'] {
    const judged = this.#forwarding?.ports ?? ShardedMap.empty()
    return judged.with(
      changes.map(({ key, to }) => [key, to !== undefined && mayHaveStaleFlows(to) ? to : undefined]),
    )
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { clock, onDeleted } = this.#options
    if (this.#forwarding === undefined) return
    const startedMs = clock.monotonic()
    const decisions = this.#decisions
    const stale = await this.#staleFlows(this.#forwarding, signal)
    const due = stale.filter((flow) => this.#isDue(flow, clock.monotonic()))
    await this.#options.table.delete(
      due.map(({ flow }) => flow),
      signal,
    )
    for (const { flow } of due) this.#staleSinceMs.delete(keyOf(flow))
    if (due.length > 0) onDeleted(due, clock.monotonic() - startedMs)
    if (decisions === this.#decisions) this.#looksLeft--
    if (this.#looksLeft > 0 || due.length < stale.length) void this.#lookLater(signal)
  }

  async #staleFlows(forwarding: Forwarding, signal: AbortSignal): Promise<readonly StaleFlow[]> {
    const { family, table } = this.#options
    const judge = new FlowJudge(forwarding, this.#former)
    const stale: StaleFlow[] = []
    for (const protocol of protocolsOf(forwarding, this.#former))
      stale.push(...judge.staleFlows(await table.list({ family, protocol }, signal)))
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

/** TCP connections end by themselves unless the Service asks for something else. */
function mayHaveStaleFlows(port: PortForwarding): boolean {
  return port.protocol !== 'TCP' || port.onEndpointRemoval.action !== 'default'
}

function protocolsOf(forwarding: Forwarding, former: Forwarding | undefined): ReadonlySet<Protocol> {
  const protocols = new Set<Protocol>()
  for (const ports of [forwarding.ports, former?.ports])
    for (const port of ports?.values() ?? []) protocols.add(port.protocol)
  return protocols
}
