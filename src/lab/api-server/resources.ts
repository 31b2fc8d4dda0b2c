/** The resources that the server knows: their names, verbs and columns come from this one table. */
import { type ApiObject } from './api-object.ts'
import { betaSliceOf } from './endpoint-slice-beta.ts'
import { coreEventOf, newEventOf } from './events-api.ts'
import { type JsonObject } from './json.ts'

export interface ResourceDefinition {
  /** Empty for the core group. */
  readonly group: string
  readonly version: string
  readonly plural: string
  readonly singular: string
  readonly kind: string
  readonly namespaced: boolean
  readonly shortNames: readonly string[]
  readonly categories: readonly string[]
  readonly subresources: readonly ('status' | 'scale')[]
  /** Fields that a field selector may name, beside the name and the namespace. */
  readonly selectableFields: readonly string[]
  /** `metadata.generation` counts the changes of everything but metadata and status. */
  readonly countsGenerations: boolean
  /** How objects are stored, where one kind is served by two groups or versions. */
  readonly storedAs?: StoredAs
}

export interface StoredAs {
  readonly definition: ResourceDefinition
  /** A stored object in this form. */
  readonly present: (stored: ApiObject) => ApiObject
  /** An object of this form as it is stored; absent: this form can only be read. */
  readonly store?: (object: ApiObject) => ApiObject
}

interface Extras {
  readonly group?: string
  readonly version?: string
  readonly namespaced?: boolean
  readonly shortNames?: readonly string[]
  readonly categories?: readonly string[]
  readonly subresources?: readonly ('status' | 'scale')[]
  readonly selectableFields?: readonly string[]
  readonly countsGenerations?: boolean
}

function define(kind: string, extras: Extras = {}): ResourceDefinition {
  const singular = kind.toLowerCase()
  return {
    group: '',
    version: 'v1',
    plural: singular.endsWith('s') ? singular : `${singular}s`,
    singular,
    kind,
    namespaced: true,
    shortNames: [],
    categories: [],
    subresources: [],
    selectableFields: [],
    countsGenerations: false,
    ...extras,
  }
}

export const SERVICES = define('Service', {
  shortNames: ['svc'],
  categories: ['all'],
  subresources: ['status'],
  selectableFields: ['spec.clusterIP', 'spec.type'],
})
export const PODS = define('Pod', {
  shortNames: ['po'],
  categories: ['all'],
  subresources: ['status'],
  selectableFields: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  countsGenerations: true,
})
export const NODES = define('Node', {
  namespaced: false,
  shortNames: ['no'],
  subresources: ['status'],
  selectableFields: ['spec.unschedulable'],
})
export const NAMESPACES = define('Namespace', {
  namespaced: false,
  shortNames: ['ns'],
  subresources: ['status'],
  selectableFields: ['status.phase'],
})
export const EVENTS = define('Event', {
  shortNames: ['ev'],
  selectableFields: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
})
export const CONFIG_MAPS = define('ConfigMap', { shortNames: ['cm'] })
export const ENDPOINTS: ResourceDefinition = { ...define('Endpoints', { shortNames: ['ep'] }) }
export const ENDPOINT_SLICES = define('EndpointSlice', {
  group: 'discovery.k8s.io',
  countsGenerations: true,
})
export const SERVICE_CIDRS = define('ServiceCIDR', {
  group: 'networking.k8s.io',
  namespaced: false,
  subresources: ['status'],
})
export const DEPLOYMENTS = define('Deployment', {
  group: 'apps',
  shortNames: ['deploy'],
  categories: ['all'],
  subresources: ['status', 'scale'],
  countsGenerations: true,
})
export const REPLICA_SETS = define('ReplicaSet', {
  group: 'apps',
  shortNames: ['rs'],
  categories: ['all'],
  subresources: ['status', 'scale'],
  countsGenerations: true,
})
/** The newer API of the same events: stored as core events, converted on the way in and out (see events-api.ts). */
export const NEW_EVENTS: ResourceDefinition = {
  ...define('Event', {
    group: 'events.k8s.io',
    shortNames: ['ev'],
    selectableFields: EVENTS.selectableFields,
  }),
  storedAs: { definition: EVENTS, present: newEventOf, store: coreEventOf },
}
/** For reading only, as proxies before Kubernetes 1.21 do; not told of in discovery, as servers since 1.25. */
export const BETA_ENDPOINT_SLICES: ResourceDefinition = {
  ...define('EndpointSlice', { group: 'discovery.k8s.io', version: 'v1beta1' }),
  storedAs: { definition: ENDPOINT_SLICES, present: betaSliceOf },
}

export const RESOURCES: readonly ResourceDefinition[] = [
  CONFIG_MAPS,
  ENDPOINTS,
  EVENTS,
  NAMESPACES,
  NODES,
  PODS,
  SERVICES,
  DEPLOYMENTS,
  REPLICA_SETS,
  ENDPOINT_SLICES,
  NEW_EVENTS,
  SERVICE_CIDRS,
]

export function apiVersionOf(definition: ResourceDefinition): string {
  return definition.group === '' ? definition.version : `${definition.group}/${definition.version}`
}

/** The definition for a group, version and plural of a request path. */
export function findResource(group: string, version: string, plural: string): ResourceDefinition | undefined {
  return [...RESOURCES, BETA_ENDPOINT_SLICES].find(
    (definition) =>
      definition.group === group && definition.version === version && definition.plural === plural,
  )
}

/** The definition for what an object says of itself. */
export function resourceOf(object: ApiObject | JsonObject): ResourceDefinition | undefined {
  return RESOURCES.find(
    (definition) => definition.kind === object['kind'] && apiVersionOf(definition) === object['apiVersion'],
  )
}

/** Whether this form of a kind is there for reading alone. */
export function isReadOnly({ storedAs }: ResourceDefinition): boolean {
  return storedAs !== undefined && storedAs.store === undefined
}

/** An object of a request in the form in which it is stored. */
export function storedFormOf(definition: ResourceDefinition, object: ApiObject): ApiObject {
  return definition.storedAs?.store?.(object) ?? object
}

/** The definition whose name in the store is used: the core one for events of either group. */
export function storageOf(definition: ResourceDefinition): ResourceDefinition {
  return definition.storedAs?.definition ?? definition
}
