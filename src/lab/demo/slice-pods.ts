import type { ApiObject } from '../api-server/api-object.ts'

interface SliceEndpoint {
  readonly conditions?: { readonly ready?: boolean | null }
  readonly targetRef?: { readonly name?: string }
}

/** Names of the pods that these EndpointSlices call ready. */
export function readyPodsOf(slices: readonly ApiObject[]): ReadonlySet<string> {
  const endpoints = slices.flatMap((slice) => (slice['endpoints'] ?? []) as readonly SliceEndpoint[])
  const ready = endpoints.filter(({ conditions }) => conditions?.ready !== false)
  return new Set(ready.flatMap(({ targetRef }) => (targetRef?.name === undefined ? [] : [targetRef.name])))
}
