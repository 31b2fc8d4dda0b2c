/** For every endpoint of a service port, whether this node uses it and why: for people, in `explain`. */
import type { Endpoint } from '../model/endpoint.ts'
import type { ServicePort } from '../model/service-port.ts'
import {
  isDraining,
  isLocal,
  type NodePlace,
  passesTopology,
  selectEndpoints,
  type SelectedEndpoints,
  usedPools,
} from './select-endpoints.ts'

export interface PoolMembership {
  readonly isIn: boolean
  readonly why: string
}

export interface ExplainedEndpoint {
  readonly endpoint: Endpoint
  readonly local: boolean
  /** `undefined`: no frontend of the port uses this pool. */
  readonly clusterPool: PoolMembership | undefined
  readonly localPool: PoolMembership | undefined
}

export function explainEndpoints(
  servicePort: ServicePort,
  endpoints: readonly Endpoint[],
  node: NodePlace,
): readonly ExplainedEndpoint[] {
  const uses = usedPools(servicePort)
  const selected = selectEndpoints(servicePort, endpoints, node)
  return endpoints.map((endpoint) => ({
    endpoint,
    local: isLocal(endpoint, node),
    clusterPool: uses.cluster
      ? { isIn: selected.cluster.includes(endpoint), why: whyCluster(endpoint, selected, node) }
      : undefined,
    localPool: uses.local
      ? { isIn: selected.local.includes(endpoint), why: whyLocal(endpoint, selected, node) }
      : undefined,
  }))
}

function whyCluster(endpoint: Endpoint, selected: SelectedEndpoints, node: NodePlace): string {
  if (selected.cluster.some((one) => one.ready)) {
    if (!endpoint.ready) return whyNotReady(endpoint)
    return whyTopology(endpoint, selected, node)
  }
  return whyFallback(endpoint, 'nothing is ready')
}

function whyLocal(endpoint: Endpoint, selected: SelectedEndpoints, node: NodePlace): string {
  if (!isLocal(endpoint, node))
    return endpoint.nodeName === undefined ? 'it names no node' : `it is on node ${endpoint.nodeName}`
  if (selected.local.some((one) => one.ready))
    return endpoint.ready ? 'it is ready and on this node' : whyNotReady(endpoint)
  return whyFallback(endpoint, 'nothing on this node is ready')
}

function whyNotReady(endpoint: Endpoint): string {
  return endpoint.terminating ? 'it is terminating, and others are ready' : 'it is not ready'
}

function whyFallback(endpoint: Endpoint, situation: string): string {
  if (isDraining(endpoint)) return `it is terminating but still serving, and ${situation}`
  if (endpoint.terminating) return 'it is terminating and does not serve any more'
  return endpoint.ready ? 'it is ready' : 'it is not ready'
}

function whyTopology(endpoint: Endpoint, { topology }: SelectedEndpoints, node: NodePlace): string {
  if (topology === 'none') return 'it is ready'
  const [here, hints] =
    topology === 'same-node'
      ? [`node ${node.name}`, endpoint.nodeHints]
      : [`zone ${node.zone}`, endpoint.zoneHints]
  return passesTopology(endpoint, topology, node)
    ? `it is ready and its hint names this ${here}`
    : `its hint names ${hints.join(', ')}, and this is ${here}`
}
