/** From the body of a request to an object that the registry can take. */
import { type ApiObject, type ObjectMeta } from './api-object.ts'
import { isObject, type Json, type JsonObject, objectOrEmpty, withoutUndefined } from './json.ts'
import { apiVersionOf, type ResourceDefinition, storedFormOf } from './resources.ts'
import { badRequest } from './status-errors.ts'

export interface RequestTarget {
  readonly definition: ResourceDefinition
  readonly namespace: string | undefined
  readonly name: string | undefined
}

/**
 * Gives the object the identity that its URL says: kind, version and namespace (400 if the body contradicts), and the
 * name where the body has none. Events of the newer API become core events.
 */
export function identified(target: RequestTarget, body: JsonObject): ApiObject {
  const { definition, namespace } = target
  checkKind(definition, body)
  if (body['metadata'] !== undefined && !isObject(body['metadata']))
    throw badRequest('metadata is not an object')
  const {
    managedFields: _managedFields,
    namespace: givenNamespace,
    ...metadata
  } = objectOrEmpty(body['metadata'])
  checkNamespace(target, givenNamespace)
  const identity = {
    ...metadata,
    name: metadata['name'] ?? target.name ?? '',
    ...(definition.namespaced ? { namespace: namespace ?? 'default' } : {}),
  }
  const object = {
    ...body,
    kind: definition.kind,
    apiVersion: apiVersionOf(definition),
    metadata: withoutUndefined(identity) as unknown as ObjectMeta,
  }
  return storedFormOf(definition, object)
}

function checkKind(definition: ResourceDefinition, body: JsonObject): void {
  const wanted = { apiVersion: apiVersionOf(definition), kind: definition.kind }
  for (const field of ['apiVersion', 'kind'] as const)
    if (body[field] !== undefined && body[field] !== wanted[field])
      throw badRequest(
        `the object provided does not fit the resource of the request: its ${field} is ${JSON.stringify(body[field])} instead of "${wanted[field]}"`,
      )
}

function checkNamespace(target: RequestTarget, given: Json | undefined): void {
  if (!target.definition.namespaced || given === undefined || given === '') return
  if (given !== target.namespace)
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
}
