/**
 * One service port → its frontends with the answer for each origin, before conflicts between Services are resolved.
 * What is decided here is the decision table (decision-table.ts); the rest is which addresses there are.
 */
import type { ServicePort } from '../model/service-port.ts'
import { type Cidr, cidrContains, hostCidr } from '../net/cidr.ts'
import type { Ip } from '../net/ip.ts'
import {
  DECISION_TABLE,
  type MasqueradeRule,
  ROW_NAMES,
  type RowName,
  rowOf,
  type TableCell,
} from './decision-table.ts'
import type { Frontend, FrontendKind, Origin, Route } from './forwarding.ts'
import type { SelectedEndpoints } from './select-endpoints.ts'

export interface FrontendContext {
  /** Pods can be told from everybody else. Without it nobody is a pod. */
  readonly hasDetector: boolean
  readonly masqueradeAll: boolean
  /** The Node's own address of this family; decides whether source ranges cover the node. */
  readonly primaryIp: Ip | undefined
}

/**
 * In the order ClusterIP, LoadBalancerIP, ExternalIP, NodePort. An address that the port has twice appears once, as
 * the first of these kinds: source ranges of a load balancer cannot be passed by naming its address an external IP.
 */
export function buildFrontends(
  servicePort: ServicePort,
  selected: Pick<SelectedEndpoints, 'hasAny' | 'local'>,
  context: FrontendContext,
): Frontend[] {
  const { port, nodePort, clusterIp, sourceRanges, wishes } = servicePort
  const routes = (kind: FrontendKind): Frontend['routes'] =>
    buildRoutes(frontendRow(servicePort, selected, kind), context)
  const lastPort = wishes.portRange?.last
  const at = (kind: FrontendKind, ip: Ip, ranges?: readonly Cidr[]): Frontend => ({
    kind,
    ip,
    port: wishes.portRange?.first ?? port,
    lastPort,
    sourceRanges: ranges,
    routes: routes(kind),
  })
  const frontends = [at('ClusterIP', clusterIp)]
  const allowed = withOwnAddresses(sourceRanges, servicePort.loadBalancerIps, context.primaryIp)
  for (const ip of servicePort.loadBalancerIps) frontends.push(at('LoadBalancerIP', ip, allowed))
  for (const ip of servicePort.externalIps) frontends.push(at('ExternalIP', ip))
  const distinct = frontends.filter((one, i) => frontends.findIndex(({ ip }) => ip === one.ip) === i)
  if (nodePort !== undefined)
    distinct.push({
      kind: 'NodePort',
      ip: undefined,
      port: nodePort,
      lastPort: undefined,
      sourceRanges: wishes.sourceRangesOnNodePort ? sourceRanges : undefined,
      routes: routes('NodePort'),
    })
  return distinct
}

/** The row of the decision table that decides about this kind of frontend. */
export function frontendRow(
  servicePort: Pick<ServicePort, 'internalTrafficPolicy' | 'externalTrafficPolicy'>,
  selected: Pick<SelectedEndpoints, 'hasAny' | 'local'>,
  kind: FrontendKind,
): RowName {
  const isInternal = kind === 'ClusterIP'
  const policy = isInternal ? servicePort.internalTrafficPolicy : servicePort.externalTrafficPolicy
  return rowOf({ isInternal, policy, hasAny: selected.hasAny, hasLocal: selected.local.length > 0 })
}

/** The same object for the same question: there are as many answers as rows and settings, not as many as frontends. */
export function buildRoutes(
  row: RowName,
  context: Pick<FrontendContext, 'hasDetector' | 'masqueradeAll'>,
): Readonly<Record<Origin, Route>> {
  return ROUTES[`${row}/${context.hasDetector}/${context.masqueradeAll}`]
}

function toRoute(cell: TableCell, context: Pick<FrontendContext, 'hasDetector' | 'masqueradeAll'>): Route {
  if (cell.action !== 'forward') return { action: cell.action }
  return { action: 'forward', pool: cell.pool, masquerade: isMasqueraded(cell.masquerade, context) }
}

function isMasqueraded(
  rule: MasqueradeRule,
  context: Pick<FrontendContext, 'hasDetector' | 'masqueradeAll'>,
): boolean {
  switch (rule) {
    case 'always':
      return true
    case 'never':
      return false
    case 'with-detector':
      return context.hasDetector || context.masqueradeAll
    case 'if-all':
      return context.masqueradeAll
  }
}

/**
 * Ranges that cover the node mean to let it in. What the node sends to a load balancer address bound to one of its own
 * interfaces has that very address as source, so the addresses become allowed sources as well.
 */
function withOwnAddresses(
  ranges: readonly Cidr[] | undefined,
  ips: readonly Ip[],
  primaryIp: Ip | undefined,
): readonly Cidr[] | undefined {
  if (ranges === undefined || primaryIp === undefined) return ranges
  if (!ranges.some((range) => cidrContains(range, primaryIp))) return ranges
  return [...new Set([...ranges, ...ips.map(hostCidr)])].sort()
}

function routesOf(
  row: RowName,
  context: Pick<FrontendContext, 'hasDetector' | 'masqueradeAll'>,
): Readonly<Record<Origin, Route>> {
  const cells = DECISION_TABLE[row]
  return {
    // Without a detector pods cannot be told apart, so they take the column of everybody else.
    pod: toRoute(context.hasDetector ? cells.pod : cells.external, context),
    node: toRoute(cells.node, context),
    external: toRoute(cells.external, context),
  }
}

const ROUTES = Object.fromEntries(
  ROW_NAMES.flatMap((row) =>
    [true, false].flatMap((hasDetector) =>
      [true, false].map((masqueradeAll) => [
        `${row}/${hasDetector}/${masqueradeAll}`,
        routesOf(row, { hasDetector, masqueradeAll }),
      ]),
    ),
  ),
) as Readonly<Record<`${RowName}/${boolean}/${boolean}`, Readonly<Record<Origin, Route>>>>
