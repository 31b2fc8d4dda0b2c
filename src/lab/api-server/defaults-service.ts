/** The defaults of a Service that need no allocation: pkg/apis/core/v1/defaults.go of Kubernetes says them. */
import { type ApiObject } from './api-object.ts'
import { type JsonObject, objectOrEmpty, withoutUndefined } from './json.ts'
import { type ServicePortSpec, type ServiceSpec, serviceSpecOf } from './service-spec.ts'

const DEFAULT_AFFINITY_SECONDS = 10800

export function defaultService(service: ApiObject): ApiObject {
  const given = serviceSpecOf(service)
  const type = given.type ?? 'ClusterIP'
  const spec = withoutUndefined({
    ...given,
    type,
    ...affinityOf(given),
    ...policiesOf(type, given),
    ports: given.ports?.map(defaultPort),
  })
  return { ...service, spec, status: { loadBalancer: {}, ...objectOrEmpty(service['status']) } }
}

function affinityOf(spec: ServiceSpec): JsonObject {
  const { sessionAffinity = 'None', sessionAffinityConfig } = spec
  if (sessionAffinity !== 'ClientIP') return { sessionAffinity, sessionAffinityConfig: undefined }
  const timeoutSeconds = sessionAffinityConfig?.clientIP?.timeoutSeconds ?? DEFAULT_AFFINITY_SECONDS
  return { sessionAffinity, sessionAffinityConfig: { clientIP: { timeoutSeconds } } }
}

function policiesOf(type: string, spec: ServiceSpec): JsonObject {
  if (type === 'ExternalName') return {}
  const isExternal = type === 'NodePort' || type === 'LoadBalancer' || (spec.externalIPs ?? []).length > 0
  return {
    internalTrafficPolicy: spec.internalTrafficPolicy ?? 'Cluster',
    externalTrafficPolicy: spec.externalTrafficPolicy ?? (isExternal ? 'Cluster' : undefined),
    allocateLoadBalancerNodePorts:
      spec.allocateLoadBalancerNodePorts ?? (type === 'LoadBalancer' ? true : undefined),
  }
}

function defaultPort(port: ServicePortSpec): ServicePortSpec {
  const { targetPort } = port
  return {
    ...port,
    protocol: port.protocol ?? 'TCP',
    targetPort: targetPort === undefined || targetPort === 0 || targetPort === '' ? port.port : targetPort,
  }
}
