import type { Ip } from '../net/ip.ts'
import { type ApiObject, specOf, timestamp } from './api-server/api-object.ts'
import type { JsonObject } from './api-server/json.ts'

interface ContainerSpec {
  readonly name?: string
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

/** What is true of a Pod's sandbox, for its status. */
export interface PodFacts {
  readonly ip: Ip
  readonly nodeIp: Ip
  readonly nowMs: number
  /** When its processes started, milliseconds since the epoch. */
  readonly startedMs: number
  /** How often its processes were started again. */
  readonly restarts: number
}

export function runningStatus(pod: ApiObject, facts: PodFacts): JsonObject {
  const running = { running: { startedAt: timestamp(facts.startedMs) } }
  return statusOf(pod, facts, { isReady: true, state: running })
}

/** A Pod that stopped answering because it was asked to go; its processes are about to end. */
export function leavingStatus(pod: ApiObject, facts: PodFacts): JsonObject {
  const running = { running: { startedAt: timestamp(facts.startedMs) } }
  return statusOf(pod, facts, { isReady: false, state: running })
}

/** A Pod whose processes ended by themselves: it keeps its address until it runs again, but is not ready. */
export function failedStatus(pod: ApiObject, facts: PodFacts): JsonObject {
  const finishedAt = timestamp(facts.nowMs)
  // 137: ended by SIGKILL.
  const terminated = { exitCode: 137, reason: 'Error', startedAt: timestamp(facts.startedMs), finishedAt }
  return statusOf(pod, facts, { isReady: false, state: { terminated } })
}

function statusOf(
  pod: ApiObject,
  facts: PodFacts,
  { isReady, state }: { readonly isReady: boolean; readonly state: JsonObject },
): JsonObject {
  const { ip, nodeIp, startedMs, nowMs } = facts
  const containerStatuses = containersOf(pod).map(({ name = '', image = 'web' }) => ({
    name,
    image,
    imageID: image,
    ready: isReady,
    started: isReady,
    restartCount: facts.restarts,
    state,
  }))
  return {
    phase: 'Running',
    hostIP: nodeIp,
    hostIPs: [{ ip: nodeIp }],
    podIP: ip,
    podIPs: [{ ip }],
    startTime: timestamp(startedMs),
    containerStatuses,
    conditions: conditions(isReady ? 'True' : 'False', nowMs),
  }
}

function conditions(status: 'True' | 'False', nowMs: number): JsonObject[] {
  const types = ['PodScheduled', 'Initialized', 'ContainersReady', 'Ready']
  const early = ['PodScheduled', 'Initialized']
  return types.map((type) => ({
    type,
    status: early.includes(type) ? 'True' : status,
    lastTransitionTime: timestamp(nowMs),
  }))
}
