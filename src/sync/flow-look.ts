/** What deletes flows that contradict the decision needs: the connection tracking table, and whom to tell. */
import type { StaleFlow } from '../backends/stale-flows.ts'
import type { Flow } from '../netfilter/conntrack/flow.ts'
import type { Family } from '../net/ip.ts'
import type { Protocol } from '../net/protocol.ts'
import type { Clock } from '../runtime/clock.ts'

/** The connection tracking table, as far as this is about it. */
export interface FlowTable {
  /** `unanswered`: of TCP, only clients that wait for their first answer. */
  list(
    query: { readonly family: Family; readonly protocol: Protocol; readonly unanswered?: boolean },
    signal: AbortSignal,
  ): Promise<Flow[]>
  delete(flows: readonly Flow[], signal: AbortSignal): Promise<void>
}

export interface FlowLookOptions {
  readonly family: Family
  readonly table: FlowTable
  readonly clock: Clock
  readonly random: () => number
  readonly onDeleted: (flows: readonly StaleFlow[], tookMs: number) => void
  readonly onFailure: (error: unknown, retryInMs: number) => void
}
