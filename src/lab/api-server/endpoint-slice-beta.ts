/** EndpointSlices in the older form that proxies before Kubernetes 1.21 read: discovery.k8s.io/v1beta1. */
import { type ApiObject } from './api-object.ts'
import { isObject, type Json, type JsonObject, withoutUndefined } from './json.ts'

/** The form of v1beta1, in which node and zone of an endpoint are entries of `topology`. */
export function betaSliceOf(slice: ApiObject): ApiObject {
  const endpoints = Array.isArray(slice['endpoints']) ? slice['endpoints'] : []
  return { ...slice, apiVersion: 'discovery.k8s.io/v1beta1', endpoints: endpoints.map(betaEndpointOf) }
}

function betaEndpointOf(endpoint: Json): Json {
  if (!isObject(endpoint)) return endpoint
  const { nodeName, zone, deprecatedTopology, ...rest } = endpoint
  const topology: JsonObject = withoutUndefined({
    ...(isObject(deprecatedTopology) ? deprecatedTopology : {}),
    'kubernetes.io/hostname': nodeName,
    'topology.kubernetes.io/zone': zone,
  })
  return { ...rest, ...(nodeName === undefined ? {} : { nodeName }), topology }
}
