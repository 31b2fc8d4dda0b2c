/** The status of a Deployment, as `kubectl rollout status` and `kubectl wait` read it (pure). */
import { type ApiObject, specOf, statusOf, timestamp } from './api-object.ts'
import { arrayOrEmpty, type Json, type JsonObject, objectOrEmpty, withoutUndefined } from './json.ts'
import { isPodReady } from './pod-summary.ts'

export function deploymentStatus(
  deployment: ApiObject,
  pods: {
    readonly current: readonly ApiObject[]
    readonly outdated: readonly ApiObject[]
    readonly now: number
  },
): JsonObject {
  const { current, outdated, now } = pods
  const wanted = Number(specOf(deployment)['replicas'] ?? 1)
  const replicas = current.length + outdated.length
  const ready = [...current, ...outdated].filter(isPodReady).length
  const isComplete = outdated.length === 0 && current.filter(isPodReady).length >= wanted
  const before = arrayOrEmpty(statusOf(deployment)['conditions']).map(objectOrEmpty)
  const condition = conditionMaker(before, timestamp(now))
  return withoutUndefined({
    observedGeneration: deployment.metadata.generation,
    replicas: positive(replicas),
    updatedReplicas: positive(current.length),
    readyReplicas: positive(ready),
    availableReplicas: positive(ready),
    unavailableReplicas: positive(Math.max(wanted, replicas) - ready),
    conditions: [
      ready >= wanted
        ? condition('Available', 'True', 'MinimumReplicasAvailable')
        : condition('Available', 'False', 'MinimumReplicasUnavailable'),
      condition('Progressing', 'True', isComplete ? 'NewReplicaSetAvailable' : 'ReplicaSetUpdated'),
    ],
  })
}

/** Counts of zero are left out, as the API server leaves them out. */
function positive(count: number): number | undefined {
  return count > 0 ? count : undefined
}

/** Makes conditions that keep their times unless they change. */
function conditionMaker(
  before: readonly JsonObject[],
  now: string,
): (type: string, status: string, reason: string) => Json {
  return (type, status, reason) => {
    const old = before.find((condition) => condition['type'] === type)
    const isSame = old?.['status'] === status
    return {
      type,
      status,
      reason,
      message: '',
      lastTransitionTime: isSame ? (old['lastTransitionTime'] ?? now) : now,
      lastUpdateTime: isSame && old['reason'] === reason ? (old['lastUpdateTime'] ?? now) : now,
    }
  }
}
