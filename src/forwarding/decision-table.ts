/**
 * The decision table of docs/forwarding.md §3 as data: for each situation of a frontend, what a packet of each origin
 * experiences. Everything that a service proxy means is in these rows; `explain` prints the row by its name.
 */
import type { Frontend, PoolName } from './forwarding.ts'

/** `with-detector`: if a detector is configured, or masquerade-all is; `if-all`: only if masquerade-all is. */
export type MasqueradeRule = 'always' | 'never' | 'with-detector' | 'if-all'

export type TableCell =
  | { readonly action: 'forward'; readonly pool: PoolName; readonly masquerade: MasqueradeRule }
  | { readonly action: 'reject' }
  | { readonly action: 'drop' }

export interface TableRow {
  readonly pod: TableCell
  readonly node: TableCell
  readonly external: TableCell
}

const REJECT: TableCell = { action: 'reject' }
const DROP: TableCell = { action: 'drop' }

function forward(pool: PoolName, masquerade: MasqueradeRule): TableCell {
  return { action: 'forward', pool, masquerade }
}

/** The rows by name; *internal* is ClusterIP, *external* are ExternalIP, LoadBalancerIP and NodePort. */
export const DECISION_TABLE = {
  'no usable endpoint anywhere': { pod: REJECT, node: REJECT, external: REJECT },
  'internal, policy Cluster': {
    pod: forward('cluster', 'if-all'),
    node: forward('cluster', 'with-detector'),
    external: forward('cluster', 'with-detector'),
  },
  'internal, policy Local, local endpoints': {
    pod: forward('local', 'if-all'),
    node: forward('local', 'with-detector'),
    external: forward('local', 'with-detector'),
  },
  'internal, policy Local, none local': { pod: DROP, node: DROP, external: DROP },
  'external, policy Cluster': {
    pod: forward('cluster', 'always'),
    node: forward('cluster', 'always'),
    external: forward('cluster', 'always'),
  },
  'external, policy Local, local endpoints': {
    pod: forward('cluster', 'never'),
    node: forward('cluster', 'always'),
    external: forward('local', 'never'),
  },
  'external, policy Local, none local': {
    pod: forward('cluster', 'never'),
    node: forward('cluster', 'always'),
    external: DROP,
  },
} as const satisfies Record<string, TableRow>

export type RowName = keyof typeof DECISION_TABLE
export const ROW_NAMES = Object.keys(DECISION_TABLE) as readonly RowName[]

/** The row that a frontend is in. */
export function rowOf(situation: {
  readonly isInternal: boolean
  readonly policy: 'Cluster' | 'Local'
  readonly hasAny: boolean
  readonly hasLocal: boolean
}): RowName {
  if (!situation.hasAny) return 'no usable endpoint anywhere'
  const side = situation.isInternal ? 'internal' : 'external'
  if (situation.policy === 'Cluster') return `${side}, policy Cluster`
  return situation.hasLocal ? `${side}, policy Local, local endpoints` : `${side}, policy Local, none local`
}

/** The row that a decided frontend came from: the column of everybody else tells them all apart. */
export function rowOfFrontend(frontend: Pick<Frontend, 'kind' | 'routes'>): RowName {
  const { external } = frontend.routes
  const forwards = external.action === 'forward'
  return rowOf({
    isInternal: frontend.kind === 'ClusterIP',
    policy: forwards && external.pool === 'cluster' ? 'Cluster' : 'Local',
    hasAny: external.action !== 'reject',
    hasLocal: forwards,
  })
}
