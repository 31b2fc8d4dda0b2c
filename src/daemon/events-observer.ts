/** What becomes an event that `kubectl describe` shows: about a Service that gets less than it asked for, or the Node. */
import type { EventRecorder, EventSubject, Occurrence } from '../events/event-recorder.ts'
import type { Conflict } from '../forwarding/conflict.ts'
import type { ServiceKey } from '../model/service-port.ts'
import type { ProxyObserver } from './proxy-observer.ts'

export interface EventsObserverOptions {
  readonly recorder: EventRecorder
  readonly nodeName: string
  /** Frontends that are left out, of all families. */
  readonly conflicts: () => readonly Conflict[]
  readonly signal: AbortSignal
}

export function eventsObserver(options: EventsObserverOptions): ProxyObserver {
  const { recorder, nodeName, conflicts, signal } = options
  const told = new Set<string>()
  const node: EventSubject = { kind: 'Node', name: nodeName }
  const say = (occurrence: Occurrence): void => recorder.record(occurrence, signal)
  return {
    onSynced: ({ repaired }) => {
      for (const occurrence of newConflicts(conflicts(), told)) say(occurrence)
      if (repaired === undefined) return
      const note = `${repaired.drift.what}; repaired ${Math.round(repaired.tookMs)} ms after it was noticed`
      say({ type: 'Warning', reason: 'DriftRepaired', action: 'Program', note, about: node })
    },
    onForeignProxy: ({ pid, command }) => {
      const note = `Process ${pid} (${command}) is a service proxy as well; stop one of the two`
      say({ type: 'Warning', reason: 'ForeignProxy', action: 'StartKubeProxy', note, about: node })
    },
    onRefusal: (port, error) => {
      if (error === undefined) return
      say({
        type: 'Warning',
        reason: 'RefusedByKernel',
        action: 'Program',
        note: error.message,
        about: subjectOf(port.service),
      })
    },
  }
}

/** Each conflict is told once for as long as it lasts. */
function newConflicts(conflicts: readonly Conflict[], told: Set<string>): Occurrence[] {
  const current = new Map(conflicts.map((conflict) => [`${conflict.key} ${conflict.message}`, conflict]))
  for (const key of told) if (!current.has(key)) told.delete(key)
  const fresh = [...current].filter(([key]) => !told.has(key))
  for (const [key] of fresh) told.add(key)
  return fresh.map(([, { message, service, uid }]) => ({
    type: 'Warning',
    reason: 'AddressConflict',
    action: 'Program',
    note: message,
    about: { ...subjectOf(service), uid },
  }))
}

function subjectOf(service: ServiceKey): { kind: 'Service'; namespace: string; name: string } {
  const slash = service.indexOf('/')
  return { kind: 'Service', namespace: service.slice(0, slash), name: service.slice(slash + 1) }
}
