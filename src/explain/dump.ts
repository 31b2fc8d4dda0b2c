/** The tables of `fairlead dump`. A row is flat, so that it is a line for people and an object for programs alike. */
import { explainEndpoints, type PoolMembership } from '../forwarding/explain-endpoints.ts'
import { rowOfFrontend } from '../forwarding/decision-table.ts'
import type { PortForwarding } from '../forwarding/forwarding.ts'
import { hostPort } from '../net/ip.ts'
import { contentOf } from './kernel-words.ts'
import type { FamilyProxyView, ProxyView } from './proxy-view.ts'
import { endpointState, frontendAddress, routeWord } from './route-words.ts'

export const DUMPS = ['forwarding', 'plan', 'endpoints', 'rejections'] as const
export type DumpName = (typeof DUMPS)[number]

export type Cell = string | number | boolean | readonly string[]
export type Row = Readonly<Record<string, Cell>>

const TABLES: Readonly<Record<DumpName, (view: ProxyView) => Row[]>> = {
  forwarding: (view) => view.families.flatMap(forwardingRows),
  plan: (view) => view.families.flatMap(planRows),
  endpoints: (view) => view.families.flatMap((family) => endpointRows(family, view)),
  rejections: rejectionRows,
}

/** Rows in a stable order. */
export function dumpRows(name: DumpName, view: ProxyView): readonly Row[] {
  return TABLES[name](view)
}

/** One row per frontend: who gets what, by the kind of sender. */
function forwardingRows({ family, forwarding }: FamilyProxyView): Row[] {
  const ports = [...(forwarding?.ports.values() ?? [])].sort(byKey)
  return ports.flatMap((port) =>
    port.frontends.map((frontend) => ({
      servicePort: port.key,
      family,
      kind: frontend.kind,
      address: frontendAddress(frontend, port.protocol),
      pod: routeWord(frontend.routes.pod),
      node: routeWord(frontend.routes.node),
      external: routeWord(frontend.routes.external),
      sourceRanges: frontend.sourceRanges ?? [],
      clusterEndpoints: port.pools.cluster.length,
      localEndpoints: port.pools.local.length,
      row: rowOfFrontend(frontend),
    })),
  )
}

/** One row per kernel object that we believe is there. */
function planRows({ family, believed }: FamilyProxyView): Row[] {
  const fragments = [...(believed?.entries() ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))
  return fragments.flatMap(([fragment, objects]) =>
    [...objects.values()].map((object) => ({
      family,
      fragment,
      kind: object.kind,
      key: object.key,
      content: contentOf(object),
    })),
  )
}

function endpointRows({ family, cluster }: FamilyProxyView, { node }: ProxyView): Row[] {
  const ports = [...cluster.servicePorts.values()].sort(byKey)
  return ports.flatMap((port) =>
    explainEndpoints(port, cluster.endpoints.get(port.key) ?? [], node).map((explained) => ({
      servicePort: port.key,
      family,
      endpoint: hostPort(explained.endpoint.ip, explained.endpoint.port),
      node: explained.endpoint.nodeName ?? '',
      state: endpointState(explained.endpoint),
      weight: explained.endpoint.weight,
      clusterPool: membershipWords(explained.clusterPool),
      localPool: membershipWords(explained.localPool),
    })),
  )
}

/** `in: it is ready`. */
export function membershipWords(membership: PoolMembership | undefined): string {
  if (membership === undefined) return 'unused'
  return `${membership.isIn ? 'in' : 'out'}: ${membership.why}`
}

function rejectionRows(view: ProxyView): Row[] {
  const fields = view.rejections.map(({ kind, object, field, reason }) => ({
    refusedBy: 'model',
    object: `${kind} ${object}`,
    what: field,
    reason,
  }))
  const conflicts = view.families.flatMap((family) =>
    family.conflicts.map(({ key, frontend, reason, message }) => ({
      refusedBy: 'conflict',
      object: `Service ${key}`,
      what: `${frontend.kind}: ${reason}`,
      reason: message,
    })),
  )
  const refused = view.families.flatMap(({ family, refused: ports }) =>
    [...ports].map(([key, reason]) => ({
      refusedBy: 'kernel',
      object: `Service ${key}`,
      what: family,
      reason,
    })),
  )
  return [...fields, ...conflicts, ...refused]
}

function byKey(a: Pick<PortForwarding, 'key'>, b: Pick<PortForwarding, 'key'>): number {
  return a.key < b.key ? -1 : 1
}
