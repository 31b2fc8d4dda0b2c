/**
 * What is asked of the API server: paths, selectors and the permissions that follow from them. manifests/ grants
 * exactly `requiredPermissions`, and a test compares the two.
 */
import type { ResourceKind } from '../model/resource-event.ts'

export interface WatchedResource {
  readonly kind: ResourceKind
  /** API group; empty for the core group. */
  readonly group: string
  /** Lower-case plural, as in paths and RBAC. */
  readonly plural: string
  /** Path of the collection over all namespaces. */
  readonly path: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
  /** A server that does not have this resource, or does not show it to us, is treated as one that has none. */
  readonly optional: boolean
}

/** Services of other proxies and headless ones never leave the server. */
export const services: WatchedResource = {
  kind: 'Service',
  group: '',
  plural: 'services',
  path: '/api/v1/services',
  labelSelector: '!service.kubernetes.io/service-proxy-name',
  fieldSelector: 'spec.clusterIP!=None',
  optional: false,
}

export const endpointSlices: WatchedResource = {
  kind: 'EndpointSlice',
  group: 'discovery.k8s.io',
  plural: 'endpointslices',
  path: '/apis/discovery.k8s.io/v1/endpointslices',
  labelSelector: '!service.kubernetes.io/headless',
  optional: false,
}

/** networking.k8s.io/v1 has ServiceCIDR since Kubernetes 1.33; an older server has none. */
export const serviceCidrs: WatchedResource = {
  kind: 'ServiceCIDR',
  group: 'networking.k8s.io',
  plural: 'servicecidrs',
  path: '/apis/networking.k8s.io/v1/servicecidrs',
  optional: true,
}

/** The one Node this proxy runs on. `name` is the Node's name, already lower-cased. */
export function ownNode(name: string): WatchedResource {
  return {
    kind: 'Node',
    group: '',
    plural: 'nodes',
    path: '/api/v1/nodes',
    fieldSelector: `metadata.name=${name}`,
    optional: false,
  }
}

/** `services`, `endpointslices.discovery.k8s.io`: the name that kubectl and RBAC messages use. */
export function qualifiedName(resource: Pick<WatchedResource, 'group' | 'plural'>): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`
}

export interface Permission {
  readonly group: string
  readonly resource: string
  readonly verbs: readonly string[]
}

/** Everything the proxy asks for: three watches over the cluster, its own Node, and Kubernetes events. */
export const requiredPermissions: readonly Permission[] = [
  { group: '', resource: 'services', verbs: ['list', 'watch'] },
  { group: 'discovery.k8s.io', resource: 'endpointslices', verbs: ['list', 'watch'] },
  { group: '', resource: 'nodes', verbs: ['list', 'watch'] },
  { group: 'networking.k8s.io', resource: 'servicecidrs', verbs: ['list', 'watch'] },
  { group: 'events.k8s.io', resource: 'events', verbs: ['create'] },
]
