import type { Ip } from '../net/ip.ts'
import { type ApiObject, specOf, timestamp } from './api-server/api-object.ts'
import type { JsonObject } from './api-server/json.ts'

interface ContainerSpec {
  readonly image?: string
  readonly lifecycle?: { readonly preStop?: { readonly sleep?: { readonly seconds?: number } } }
}

function containersOf(pod: ApiObject): readonly ContainerSpec[] {
  const { containers } = specOf(pod)
  return Array.isArray(containers) ? (containers as readonly ContainerSpec[]) : []
}

/** The images of a Pod's containers, in order. */
export function imagesOf(pod: ApiObject): readonly string[] {
  return containersOf(pod).map((container) => container.image ?? 'web')
}

/** How long the containers go on serving after their deletion was announced: the longest `preStop.sleep`. */
export function preStopSeconds(pod: ApiObject): number {
  return Math.max(
    0,
    ...containersOf(pod).map((container) => container.lifecycle?.preStop?.sleep?.seconds ?? 0),
  )
}

export function runningStatus(ip: Ip, nowMs: number): JsonObject {
  return {
    phase: 'Running',
    podIP: ip,
    podIPs: [{ ip }],
    startTime: timestamp(nowMs),
    conditions: conditions('True', nowMs),
  }
}

/** A Pod whose processes ended: it keeps its address until it runs again, but is not ready. */
export function failedStatus(ip: Ip, nowMs: number): JsonObject {
  return { phase: 'Running', podIP: ip, podIPs: [{ ip }], conditions: conditions('False', nowMs) }
}

function conditions(status: 'True' | 'False', nowMs: number): JsonObject[] {
  const types = ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready']
  return types.map((type) => ({ type, status, lastTransitionTime: timestamp(nowMs) }))
}
