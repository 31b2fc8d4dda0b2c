/** A connection tracking table that holds these flows and remembers what it was asked. */
import type { Flow } from '../../src/netfilter/conntrack/flow.ts'
import type { FlowTable } from '../../src/sync/flow-look.ts'

export interface RecordedFlowTable extends FlowTable {
  /** `UDP`, or `TCP unanswered`, for each listing. */
  readonly lists: string[]
  readonly deleted: Flow[]
}

export function aFlowTable(flows: readonly Flow[]): RecordedFlowTable {
  const lists: string[] = []
  const deleted: Flow[] = []
  return {
    lists,
    deleted,
    list: ({ protocol, unanswered = false }) => {
      lists.push(unanswered ? `${protocol} unanswered` : protocol)
      return Promise.resolve(flows.filter((flow) => flow.protocol === protocol && !deleted.includes(flow)))
    },
    delete: (some) => {
      deleted.push(...some)
      return Promise.resolve()
    },
  }
}
