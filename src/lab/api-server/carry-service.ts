/** What an update of a Service keeps of the stored one, and what it drops with a change of type. */
import { type ApiObject } from './api-object.ts'
import { jsonEqual, withoutUndefined } from './json.ts'
import {
  clusterIpsOf,
  needsHealthCheckNodePort,
  type ServicePortSpec,
  type ServiceSpec,
  serviceSpecOf,
  usesNodePorts,
} from './service-spec.ts'

/**
 * A client that applies its manifest again leaves out what was allocated: that stays. A client that only changes the
 * type leaves in what the new type cannot have: that goes.
 */
export function carryService(next: ApiObject, previous: ApiObject): ApiObject {
  const from = serviceSpecOf(previous)
  const given = serviceSpecOf(next)
  const spec = withoutHealthCheck(withPorts(withClusterIps(given, from), from), from)
  return { ...next, spec: withoutUndefined(spec) }
}

function withClusterIps(spec: ServiceSpec, from: ServiceSpec): ServiceSpec {
  if (spec.type === 'ExternalName') {
    const { clusterIP: _ip, clusterIPs: _ips, ipFamilies: _families, ipFamilyPolicy: _policy, ...rest } = spec
    return rest
  }
  if (from.type === 'ExternalName') return spec
  const kept = keptClusterIps(spec, from)
  const { ipFamilyPolicy = from.ipFamilyPolicy, ipFamilies = from.ipFamilies } = spec
  return withoutUndefined({
    ...spec,
    clusterIP: kept[0],
    clusterIPs: kept,
    ipFamilyPolicy,
    ipFamilies,
  })
}

function keptClusterIps(spec: ServiceSpec, from: ServiceSpec): readonly string[] {
  const { clusterIP = '' } = spec
  const isOnlyOlderFieldChanged =
    clusterIP !== '' && clusterIP !== from.clusterIP && jsonEqual(spec.clusterIPs, from.clusterIPs)
  if (isOnlyOlderFieldChanged) return [clusterIP]
  const given = clusterIpsOf(spec)
  return given.length > 0 ? given : clusterIpsOf(from)
}

function withPorts(spec: ServiceSpec, from: ServiceSpec): ServiceSpec {
  const previous = new Map((from.ports ?? []).map((port) => [portKey(port), port.nodePort]))
  if (spec.ports === undefined) return spec
  const ports = spec.ports.map((port) => {
    const kept = previous.get(portKey(port))
    if (usesNodePorts(spec))
      return kept !== undefined && (port.nodePort ?? 0) === 0 ? { ...port, nodePort: kept } : port
    // The client still sends the node port of the former type: it is released.
    if (spec.type === 'ClusterIP' && port.nodePort !== undefined && port.nodePort === kept) {
      const { nodePort: _released, ...rest } = port
      return rest
    }
    return port
  })
  return { ...spec, ports }
}

function withoutHealthCheck(spec: ServiceSpec, from: ServiceSpec): ServiceSpec {
  const kept = from.healthCheckNodePort
  if (needsHealthCheckNodePort(spec))
    return kept !== undefined && (spec.healthCheckNodePort ?? 0) === 0
      ? { ...spec, healthCheckNodePort: kept }
      : spec
  const isLeftover = spec.healthCheckNodePort === kept
  const loadBalancerOnly = spec.type === 'LoadBalancer' ? {} : { allocateLoadBalancerNodePorts: undefined }
  const external =
    spec.type === 'ClusterIP' && (spec.externalIPs ?? []).length === 0
      ? { externalTrafficPolicy: undefined }
      : {}
  const cleaned = { ...spec, ...(from.type === spec.type ? {} : { ...loadBalancerOnly, ...external }) }
  return withoutUndefined(isLeftover ? { ...cleaned, healthCheckNodePort: undefined } : cleaned)
}

function portKey(port: ServicePortSpec): string {
  return `${port.port}/${port.protocol ?? 'TCP'}`
}
