import { type ApiObject } from './api-object.ts'
import { type ResourceDefinition } from './resources.ts'

/** Which object: its resource, namespace (`undefined` for cluster-wide ones) and name. */
export interface ObjectRef {
  readonly definition: ResourceDefinition
  readonly namespace?: string | undefined
  readonly name: string
}

export function refTo(definition: ResourceDefinition, object: ApiObject): ObjectRef {
  return { definition, namespace: object.metadata.namespace, name: object.metadata.name }
}
