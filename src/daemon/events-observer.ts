/** What becomes an event that `kubectl describe` shows: about a Service that gets less than it asked for, or the Node. */
import type { EventReason, EventRecorder, EventSubject, Occurrence } from '../events/event-recorder.ts'
import type { Conflict } from '../forwarding/conflict.ts'
import type { PortForwarding } from '../forwarding/forwarding.ts'
import type { ServiceKey } from '../model/service-port.ts'
import type { OwnServer, ProxyObserver } from './proxy-observer.ts'

export interface EventsObserverOptions {
  readonly recorder: EventRecorder
  readonly nodeName: string
  /** Frontends that are left out, of all families. */
  readonly conflicts: () => readonly Conflict[]
  /** The UID of the Service that a port is of: `kubectl describe` shows only events that carry it. */
  readonly uidOf: (port: PortForwarding) => string | undefined
  readonly signal: AbortSignal
}

/** As kube-proxy names them. */
const SERVER_EVENTS = {
  'health server': { reason: 'FailedToStartProxierHealthcheck', action: 'StartKubeProxy' },
  'metrics server': { reason: 'FailedToStartMetricServer', action: 'StartKubeProxy' },
} as const satisfies Record<OwnServer, Pick<Occurrence, 'reason' | 'action'>>

export function eventsObserver(options: EventsObserverOptions): ProxyObserver {
  const { recorder, nodeName, conflicts, uidOf, signal } = options
  const told = new Set<string>()
  const node: EventSubject = { kind: 'Node', name: nodeName }
  const say = (occurrence: Occurrence): void => recorder.record(occurrence, signal)
  const warnService = (port: PortForwarding, reason: EventReason, note: string): void => {
    const uid = uidOf(port)
    const about = { ...subjectOf(port.service), ...(uid === undefined || uid === '' ? {} : { uid }) }
    say({ type: 'Warning', reason, action: 'Program', note, about })
  }
  return {
    onSynced: ({ repaired }) => {
      for (const occurrence of newConflicts(conflicts(), told)) say(occurrence)
      if (repaired === undefined) return
      const note = `${repaired.drift.what}; repaired ${Math.round(repaired.tookMs)} ms after it was noticed`
      say({ type: 'Warning', reason: 'DriftRepaired', action: 'Program', note, about: node })
    },
    onCannotListen: (server, error) => {
      const { reason, action } = SERVER_EVENTS[server]
      say({ type: 'Warning', reason, action, note: error.message, about: node })
    },
    onHealthCheckClosed: (service, error) =>
      say({
        ...{ type: 'Warning', reason: 'FailedToStartServiceHealthcheck', action: 'Listen' },
        ...{ note: error.message, about: subjectOf(service) },
      }),
    onForeignProxy: ({ pid, command }) => {
      const note = `Process ${pid} (${command}) is a service proxy as well; stop one of the two`
      say({ type: 'Warning', reason: 'ForeignProxy', action: 'StartKubeProxy', note, about: node })
    },
    onNodePortTaken: (port, what) => warnService(port, 'NodePortTaken', what),
    onRefusal: (port, error) => {
      if (error !== undefined) warnService(port, 'RefusedByKernel', error.message)
    },
    // The text names no IP family, so that two families that say the same are one event.
    onSubstitution: (port, instead) => warnService(port, 'NotAvailableInMode', `${port.key}: ${instead}`),
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
