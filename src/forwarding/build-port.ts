/**
 * One service port with its endpoints → its forwarding, as if it were alone in the cluster: conflicts with other
 * Services are taken out afterwards (resolve-conflicts.ts).
 */
import type { Endpoint } from '../model/endpoint.ts'
import type { ServicePort } from '../model/service-port.ts'
import { hostPort } from '../net/ip.ts'
import { buildFrontends, type FrontendContext } from './build-frontends.ts'
import type { PortForwarding, Target } from './forwarding.ts'
import { isLocal, type NodePlace, selectEndpoints } from './select-endpoints.ts'

export interface PortContext extends FrontendContext {
  readonly place: NodePlace
}

export function buildPort(
  servicePort: ServicePort,
  endpoints: readonly Endpoint[],
  context: PortContext,
): PortForwarding {
  const selected = selectEndpoints(servicePort, endpoints, context.place)
  const toTarget = (endpoint: Endpoint): Target => ({
    ip: endpoint.ip,
    port: endpoint.port,
    local: isLocal(endpoint, context.place),
    weight: weightOf(endpoint, servicePort.wishes.weights),
  })
  return {
    key: servicePort.key,
    service: servicePort.service,
    family: servicePort.family,
    protocol: servicePort.protocol,
    frontends: buildFrontends(servicePort, selected, context),
    pools: { cluster: selected.cluster.map(toTarget), local: selected.local.map(toTarget) },
    affinitySeconds: servicePort.affinitySeconds,
    algorithm: servicePort.wishes.algorithm,
    ipvsScheduler: servicePort.wishes.ipvsScheduler,
    onEndpointRemoval: servicePort.wishes.onEndpointRemoval,
    healthCheckNodePort: servicePort.healthCheckNodePort,
    servingEndpoints: endpoints.filter(({ serving }) => serving).map(({ ip, port }) => hostPort(ip, port)),
  }
}

/** The Service's word about an address comes before that about a node, and both before the slice's. */
function weightOf(endpoint: Endpoint, weights: ServicePort['wishes']['weights']): number {
  const named = (name: string | undefined): number | undefined =>
    name !== undefined && Object.hasOwn(weights, name) ? weights[name] : undefined
  return named(endpoint.ip) ?? named(endpoint.nodeName) ?? endpoint.weight
}
