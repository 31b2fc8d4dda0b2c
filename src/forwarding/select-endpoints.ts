/**
 * Which endpoints a service port uses on this node (docs/forwarding.md §2): readiness, topology hints, the fallback to
 * endpoints that terminate but still serve, and the two pools of the traffic policies.
 */
import type { Endpoint } from '../model/endpoint.ts'
import type { ServicePort } from '../model/service-port.ts'

/** What selection must know of the node. */
export interface NodePlace {
  readonly name: string
  /** Empty: unknown, and no hint matches it. */
  readonly zone: string
}

export type TopologyMode = 'none' | 'same-node' | 'same-zone'

export interface SelectedEndpoints {
  /** For everybody whom no policy binds to this node; empty when no frontend of the port uses it. */
  readonly cluster: readonly Endpoint[]
  /** On this node; empty when no policy asks for it. */
  readonly local: readonly Endpoint[]
  /** Some endpoint in the cluster is usable, be it in a pool or not: an empty pool then drops instead of rejecting. */
  readonly hasAny: boolean
  readonly topology: TopologyMode
}

/** `endpoints` sorted; both pools keep the order. */
export function selectEndpoints(
  servicePort: Pick<ServicePort, PoolInputs>,
  endpoints: readonly Endpoint[],
  node: NodePlace,
): SelectedEndpoints {
  const uses = usedPools(servicePort)
  const topology = uses.cluster ? topologyMode(endpoints, node) : 'none'
  const cluster = uses.cluster ? clusterPool(endpoints, topology, node) : []
  const local = uses.local ? localPool(endpoints, node) : []
  const hasAny = cluster.length > 0 || (uses.local && endpoints.some(isUsable))
  return { cluster, local, hasAny, topology }
}

type PoolInputs =
  'nodePort' | 'externalIps' | 'loadBalancerIps' | 'internalTrafficPolicy' | 'externalTrafficPolicy'

/** Which pools some frontend of the port can ask for. */
export function usedPools(servicePort: Pick<ServicePort, PoolInputs>): { cluster: boolean; local: boolean } {
  const { nodePort, externalIps, loadBalancerIps } = servicePort
  const isExternal = nodePort !== undefined || externalIps.length > 0 || loadBalancerIps.length > 0
  const internalLocal = servicePort.internalTrafficPolicy === 'Local'
  const externalLocal = servicePort.externalTrafficPolicy === 'Local'
  return { cluster: !internalLocal || isExternal, local: internalLocal || (externalLocal && isExternal) }
}

/** Hints hold only if every ready endpoint has one and somebody is left; node hints come before zone hints. */
export function topologyMode(endpoints: readonly Endpoint[], node: NodePlace): TopologyMode {
  const ready = endpoints.filter((endpoint) => endpoint.ready)
  if (ready.length === 0) return 'none'
  if (isFullyHinted(ready, 'nodeHints', node.name)) return 'same-node'
  if (isFullyHinted(ready, 'zoneHints', node.zone)) return 'same-zone'
  return 'none'
}

function isFullyHinted(ready: readonly Endpoint[], kind: 'nodeHints' | 'zoneHints', wanted: string): boolean {
  return (
    wanted !== '' &&
    ready.every((endpoint) => endpoint[kind].length > 0) &&
    ready.some((endpoint) => endpoint[kind].includes(wanted))
  )
}

export function passesTopology(endpoint: Endpoint, mode: TopologyMode, node: NodePlace): boolean {
  switch (mode) {
    case 'none':
      return true
    case 'same-node':
      return endpoint.nodeHints.includes(node.name)
    case 'same-zone':
      return endpoint.zoneHints.includes(node.zone)
  }
}

function clusterPool(
  endpoints: readonly Endpoint[],
  mode: TopologyMode,
  node: NodePlace,
): readonly Endpoint[] {
  const chosen = endpoints.filter((endpoint) => endpoint.ready && passesTopology(endpoint, mode, node))
  return chosen.length > 0 ? chosen : endpoints.filter(isDraining)
}

/** Topology never narrows the local pool: it is as near as can be. */
function localPool(endpoints: readonly Endpoint[], node: NodePlace): readonly Endpoint[] {
  const here = endpoints.filter((endpoint) => isLocal(endpoint, node))
  const ready = here.filter((endpoint) => endpoint.ready)
  return ready.length > 0 ? ready : here.filter(isDraining)
}

export function isLocal(endpoint: Endpoint, node: Pick<NodePlace, 'name'>): boolean {
  return endpoint.nodeName !== undefined && endpoint.nodeName === node.name
}

/** Terminating, but still serving: used when nothing is ready. */
export function isDraining(endpoint: Endpoint): boolean {
  return endpoint.serving && endpoint.terminating
}

function isUsable(endpoint: Endpoint): boolean {
  return endpoint.ready || isDraining(endpoint)
}
