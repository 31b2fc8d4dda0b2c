/** The `scale` subresource: autoscaling/v1 Scale for Deployments and ReplicaSets. */
import { type ApiObject, specOf, statusOf, withMetadata } from './api-object.ts'
import { type JsonObject, objectOrEmpty, valueAt } from './json.ts'
import { badRequest } from './status-errors.ts'

export function scaleOf(object: ApiObject): JsonObject {
  const { name, namespace = '', uid = '', resourceVersion = '', creationTimestamp = '' } = object.metadata
  const spec = specOf(object)
  const labels = Object.entries(
    objectOrEmpty(valueAt(spec, ['selector', 'matchLabels'])) as Record<string, string>,
  )
  return {
    kind: 'Scale',
    apiVersion: 'autoscaling/v1',
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp },
    spec: { replicas: spec['replicas'] ?? 0 },
    status: {
      replicas: statusOf(object)['replicas'] ?? 0,
      selector: labels.map(([key, value]) => `${key}=${value}`).join(','),
    },
  }
}

/** The object with the replicas, and the resourceVersion as precondition, that a Scale asks for. */
export function withScale(object: ApiObject, scale: JsonObject): ApiObject {
  const replicas = valueAt(scale, ['spec', 'replicas'])
  if (typeof replicas !== 'number' || !Number.isInteger(replicas))
    throw badRequest('spec.replicas of a Scale must be a whole number')
  const resourceVersion = valueAt(scale, ['metadata', 'resourceVersion'])
  const scaled = { ...object, spec: { ...specOf(object), replicas } }
  return withMetadata(scaled, { resourceVersion })
}
