import { type Json, type JsonObject, objectOrEmpty, withoutUndefined } from './json.ts'

/** The part of Kubernetes' ObjectMeta that the server itself reads or writes; other fields are kept as they are. */
export type ObjectMeta = {
  readonly name: string
  readonly generateName?: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly generation?: number
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
  readonly deletionGracePeriodSeconds?: number
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly finalizers?: readonly string[]
  readonly ownerReferences?: readonly OwnerReference[]
}

export type OwnerReference = {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
  readonly controller?: boolean
  readonly blockOwnerDeletion?: boolean
}

/** Any Kubernetes object, as the plain JSON that the API speaks. */
export type ApiObject = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: ObjectMeta
  readonly [field: string]: Json | undefined
}

/** `namespace/name`, or `/name` for what has no namespace: sorts as the API server's storage does. */
export function objectKey(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`
}

export function keyOf(object: ApiObject): string {
  return objectKey(object.metadata.namespace, object.metadata.name)
}

export function specOf(object: ApiObject): JsonObject {
  return objectOrEmpty(object['spec'])
}

export function statusOf(object: ApiObject): JsonObject {
  return objectOrEmpty(object['status'])
}

/** The object with these metadata fields set; a field given as `undefined` is removed. */
export function withMetadata(object: ApiObject, fields: JsonObject): ApiObject {
  const metadata = withoutUndefined({ ...object.metadata, ...fields })
  return { ...object, metadata: metadata as unknown as ObjectMeta }
}

/** Kubernetes' timestamp: RFC 3339 in whole seconds. */
export function timestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

/** Kubernetes' MicroTime. */
export function microTimestamp(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}000Z`
}
