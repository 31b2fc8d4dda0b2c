import { type Family, parseIp, familyOf } from '../../net/ip.ts'
import { type ApiObject } from './api-object.ts'
import { type Json } from './json.ts'

/** A port of a Service, as far as the server itself reads it. */
export type ServicePortSpec = {
  readonly name?: string
  readonly protocol?: string
  readonly port: number
  readonly targetPort?: number | string
  readonly nodePort?: number
  readonly [field: string]: Json | undefined
}

/** The spec of a Service, as far as the server itself reads it. */
export type ServiceSpec = {
  readonly type?: string
  readonly clusterIP?: string
  readonly clusterIPs?: readonly string[]
  readonly ipFamilies?: readonly Family[]
  readonly ipFamilyPolicy?: string
  readonly ports?: readonly ServicePortSpec[]
  readonly selector?: Readonly<Record<string, string>>
  readonly externalIPs?: readonly string[]
  readonly externalName?: string
  readonly externalTrafficPolicy?: string
  readonly internalTrafficPolicy?: string
  readonly trafficDistribution?: string
  readonly healthCheckNodePort?: number
  readonly allocateLoadBalancerNodePorts?: boolean
  readonly loadBalancerSourceRanges?: readonly string[]
  readonly publishNotReadyAddresses?: boolean
  readonly sessionAffinity?: string
  readonly sessionAffinityConfig?: { readonly clientIP?: { readonly timeoutSeconds?: number } }
  readonly [field: string]: Json | undefined
}

/** The spec of a Service whose field types were checked (request-schema.ts) or that the embedding program vouches for. */
export function serviceSpecOf(service: ApiObject): ServiceSpec {
  return (service['spec'] ?? {}) as ServiceSpec
}

/** The cluster IPs, whichever of the two fields says so. */
export function clusterIpsOf(spec: ServiceSpec): readonly string[] {
  const { clusterIPs = [], clusterIP = '' } = spec
  if (clusterIPs.length > 0) return clusterIPs
  return clusterIP === '' ? [] : [clusterIP]
}

export function isHeadless(spec: ServiceSpec): boolean {
  return clusterIpsOf(spec)[0] === 'None'
}

export function usesNodePorts(spec: ServiceSpec): boolean {
  if (spec.type === 'NodePort') return true
  return spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false
}

export function needsHealthCheckNodePort(spec: ServiceSpec): boolean {
  return spec.type === 'LoadBalancer' && spec.externalTrafficPolicy === 'Local'
}

export function familyOfText(text: string): Family | undefined {
  const ip = parseIp(text)
  return ip === undefined ? undefined : familyOf(ip)
}
