/**
 * Keeps connection tracking true to the decision: after every change that can matter, the flows of a family are listed,
 * judged, and those that contradict the decision are forgotten. Level-triggered, so it is the same after a restart, and
 * never a full flush. Of the decision only the ports that flows are judged for are kept, so that one change costs as
 * much as itself, however many other ports there are. TCP ports are among them only while clients may wait in vain.
 */
import { FlowJudge, type StaleFlow } from '../backends/stale-flows.ts'
import { type MapChange, ShardedMap } from '../collections/sharded-map.ts'
import type { Forwarding, Frontend, PortForwarding } from '../forwarding/forwarding.ts'
import type { ServicePortKey } from '../model/service-port.ts'
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
  /** `unanswered`: of TCP, only clients that wait for their first answer. */
  list(
    query: { readonly family: Family; readonly protocol: Protocol; readonly unanswered?: boolean },
    signal: AbortSignal,
  ): Promise<Flow[]>
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

type PortChange = MapChange<ServicePortKey, PortForwarding>

export class FlowReconciler {
  readonly #options: FlowReconcilerOptions
  readonly #loop: SyncLoop
  /** Since when a flow that may live on for a while has been stale. */
  readonly #staleSinceMs = new Map<string, number>()
  /** All ports of the newest decision; below, the decisions now and before, reduced to the ports that matter here. */
  #allPorts: Forwarding['ports'] = ShardedMap.empty()
  #forwarding: Forwarding | undefined
  #former: Forwarding | undefined
  /** TCP ports whose clients may have been sent to nobody; until it has been looked for them. */
  readonly #newlyAnswered = new Map<ServicePortKey, PortForwarding>()
  #looksLeft = 0
  /** How many decisions there were: tells whether there was a new one while the kernel was asked. */
  #decisions = 0

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
    const changes = [...this.#allPorts.changesTo(forwarding.ports)]
    this.#allPorts = forwarding.ports
    this.#forwarding = { ...forwarding, ports: this.#judgedPorts(changes) }
    const someWait = this.#noteNewlyAnswered(changes)
    if (before?.ports === this.#forwarding.ports && !someWait) return
    this.#former = before
    this.#looksLeft = 2
    this.#decisions++
    this.#loop.request()
  }

  async start(signal: AbortSignal): Promise<void> {
    await this.#loop.start(signal)
  }

  /** Those that can have stale flows at any time; the same map as last time when none of them changed. */
  #judgedPorts(changes: readonly PortChange[]): Forwarding['ports'] {
    const judged = this.#forwarding?.ports ?? ShardedMap.empty()
    return judged.with(
      changes.map(({ key, to }) => [key, to !== undefined && mayHaveStaleFlows(to) ? to : undefined]),
    )
  }

  /** Whether there is one among these changes. */
  #noteNewlyAnswered(changes: readonly PortChange[]): boolean {
    let someWait = false
    for (const { key, from, to } of changes) {
      const mayStrand = to !== undefined && mayStrandClients(from, to)
      if (to === undefined) this.#newlyAnswered.delete(key)
      else if (mayStrand || this.#newlyAnswered.has(key)) this.#newlyAnswered.set(key, to)
      someWait ||= mayStrand
    }
    return someWait
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
    if (this.#looksLeft <= 0) this.#newlyAnswered.clear()
    if (this.#looksLeft > 0 || due.length < stale.length) void this.#lookLater(signal)
  }

  async #staleFlows(forwarding: Forwarding, signal: AbortSignal): Promise<readonly StaleFlow[]> {
    const { family, table } = this.#options
    const ports = forwarding.ports.with([...this.#newlyAnswered])
    const judge = new FlowJudge({ ...forwarding, ports }, this.#former)
    const protocols = protocolsOf(forwarding, this.#former)
    const stale: StaleFlow[] = []
    for (const protocol of protocols)
      stale.push(...judge.staleFlows(await table.list({ family, protocol }, signal)))
    if (this.#newlyAnswered.size > 0 && !protocols.has('TCP'))
      stale.push(...judge.staleFlows(await table.list({ family, protocol: 'TCP', unanswered: true }, signal)))
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
