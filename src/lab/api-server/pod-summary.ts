/** A Pod in the words of `kubectl get pods`. */
import { type ApiObject, specOf, statusOf } from './api-object.ts'
import { arrayOrEmpty, isObject, type JsonObject, objectOrEmpty } from './json.ts'

function containerStatuses(pod: ApiObject): readonly JsonObject[] {
  return arrayOrEmpty(statusOf(pod)['containerStatuses']).map(objectOrEmpty)
}

/** Ready containers and all containers: `1/2`. */
export function podReadiness(pod: ApiObject): string {
  const ready = containerStatuses(pod).filter((container) => container['ready'] === true).length
  return `${ready}/${arrayOrEmpty(specOf(pod)['containers']).length}`
}

export function podRestarts(pod: ApiObject): number {
  return containerStatuses(pod).reduce((sum, { restartCount }) => sum + Number(restartCount ?? 0), 0)
}

/** The reason why a container waits or has ended, else the phase; a Pod that is being deleted is Terminating. */
export function podStatusText(pod: ApiObject): string {
  const { phase = 'Pending', reason = phase } = statusOf(pod)
  if (pod.metadata.deletionTimestamp !== undefined) return 'Terminating'
  const reasons = containerStatuses(pod).flatMap((container) => {
    const { waiting, terminated } = objectOrEmpty(container['state'])
    const state = isObject(waiting) ? waiting : objectOrEmpty(terminated)
    return typeof state['reason'] === 'string' ? [state['reason']] : []
  })
  return reasons[0] ?? (typeof reason === 'string' ? reason : 'Unknown')
}

/** Whether the Pod's Ready condition is true. */
export function isPodReady(pod: ApiObject): boolean {
  const conditions = arrayOrEmpty(statusOf(pod)['conditions']).map(objectOrEmpty)
  return conditions.some((condition) => condition['type'] === 'Ready' && condition['status'] === 'True')
}
