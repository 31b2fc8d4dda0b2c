/** Which EndpointSlices a Service needs, with as few changes as possible to those that it has (pure). */
import { type ApiObject, withMetadata } from './api-object.ts'
import { arrayOrEmpty, type Json, jsonEqual, type JsonObject, objectOrEmpty } from './json.ts'
import { isHeadless, serviceSpecOf } from './service-spec.ts'
import { type EndpointGroup, type SliceEndpoint } from './slice-endpoints.ts'

export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by'
export const CONTROLLER = 'endpointslice-controller.k8s.io'
export const SERVICE_NAME = 'kubernetes.io/service-name'
const HEADLESS = 'service.kubernetes.io/headless'
const TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time'
const MAX_ENDPOINTS_PER_SLICE = 100

export interface SlicePlan {
  readonly created: readonly ApiObject[]
  readonly updated: readonly ApiObject[]
  readonly deleted: readonly ApiObject[]
}

export function planSlices(
  service: ApiObject,
  state: {
    readonly groups: readonly EndpointGroup[]
    readonly existing: readonly ApiObject[]
    /** What is written into changed slices as the time of their cause. */
    readonly triggerTime: string
  },
): SlicePlan {
  const { groups, existing, triggerTime } = state
  const created: ApiObject[] = []
  const updated: ApiObject[] = []
  const used = new Set<ApiObject>()
  for (const group of groups) {
    const own = existing.filter((slice) => fits(slice, group))
    const { kept, further } = spread(group, own)
    for (const [slice, endpoints] of kept) {
      used.add(slice)
      const next = withCommonFields(service, { ...slice, endpoints })
      if (!jsonEqual(next, slice)) updated.push(withTriggerTime(next, triggerTime))
    }
    for (const endpoints of further)
      created.push(withTriggerTime(newSlice(service, group, endpoints), triggerTime))
  }
  return { created, updated, deleted: existing.filter((slice) => !used.has(slice)) }
}

function fits(slice: ApiObject, group: EndpointGroup): boolean {
  return slice['addressType'] === group.addressType && jsonEqual(slice['ports'] ?? [], [...group.ports])
}

/**
 * Endpoints stay in the slice and at the place where they are; new ones fill what room there is; the rest is to go
 * into further slices. Slices that would become empty are given up, except the last one.
 */
function spread(
  group: EndpointGroup,
  own: readonly ApiObject[],
): { readonly kept: ReadonlyMap<ApiObject, Json[]>; readonly further: readonly (readonly Json[])[] } {
  const wanted = new Map(group.endpoints.map((endpoint) => [endpoint.identity, endpoint]))
  const kept = new Map<ApiObject, Json[]>()
  for (const slice of own) kept.set(slice, takeStaying(slice, wanted))
  const waiting = [...wanted.values()].map((endpoint) => endpoint.value)
  for (const endpoints of kept.values())
    endpoints.push(...waiting.splice(0, MAX_ENDPOINTS_PER_SLICE - endpoints.length))
  const further: Json[][] = []
  while (waiting.length > 0) further.push(waiting.splice(0, MAX_ENDPOINTS_PER_SLICE))
  for (const [slice, endpoints] of kept)
    if (endpoints.length === 0 && (kept.size > 1 || further.length > 0)) kept.delete(slice)
  if (kept.size === 0 && further.length === 0) further.push([])
  return { kept, further }
}

/** The current values of a slice's endpoints that are still wanted; they are taken out of `wanted`. */
function takeStaying(slice: ApiObject, wanted: Map<string, SliceEndpoint>): Json[] {
  return arrayOrEmpty(slice['endpoints']).flatMap((endpoint) => {
    const identity = identityOf(objectOrEmpty(endpoint))
    const stays = wanted.get(identity)
    wanted.delete(identity)
    return stays === undefined ? [] : [stays.value]
  })
}

function identityOf(endpoint: JsonObject): string {
  const { uid, name } = objectOrEmpty(endpoint['targetRef'])
  const [address] = arrayOrEmpty(endpoint['addresses'])
  return [uid ?? name, address].filter((part) => typeof part === 'string').join(' ')
}

function newSlice(service: ApiObject, group: EndpointGroup, endpoints: readonly Json[]): ApiObject {
  const { name, namespace = '', uid = '' } = service.metadata
  return withCommonFields(service, {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: '',
      generateName: `${name}-`,
      namespace,
      ownerReferences: [
        { apiVersion: 'v1', kind: 'Service', name, uid, controller: true, blockOwnerDeletion: true },
      ],
    },
    addressType: group.addressType,
    endpoints,
    ports: group.ports,
  })
}

/** Slices carry the labels of their Service beside those that say whose they are. */
function withCommonFields(service: ApiObject, slice: ApiObject): ApiObject {
  const labels = {
    ...service.metadata.labels,
    [SERVICE_NAME]: service.metadata.name,
    [MANAGED_BY]: CONTROLLER,
    ...(isHeadless(serviceSpecOf(service)) ? { [HEADLESS]: '' } : {}),
  }
  return withMetadata(slice, { labels })
}

function withTriggerTime(slice: ApiObject, triggerTime: string): ApiObject {
  return withMetadata(slice, { annotations: { ...slice.metadata.annotations, [TRIGGER_TIME]: triggerTime } })
}
