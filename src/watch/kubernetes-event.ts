/** Events (events.k8s.io/v1) that we tell about a Node or a Service, shown by `kubectl describe`. Pure. */

export interface KubernetesEvent {
  /** Namespace of the object; `default` for a Node. */
  readonly namespace: string
  /** Unique in the namespace: the object's name, a dot, something that does not repeat. */
  readonly name: string
  readonly type: 'Normal' | 'Warning'
  /** One word in UpperCamelCase. */
  readonly reason: string
  /** What was done or tried, one word in UpperCamelCase. */
  readonly action: string
  /** A sentence for people; cut to the 1,024 bytes that the API accepts. */
  readonly note: string
  readonly regarding: {
    readonly apiVersion: string
    readonly kind: string
    readonly name: string
    readonly namespace?: string
    readonly uid?: string
  }
  readonly reportingController: string
  readonly reportingInstance: string
  /** Milliseconds since the epoch. */
  readonly timeMs: number
}

const LONGEST_NOTE = 1024

/** The body of the request that creates the event. */
export function renderEvent(event: KubernetesEvent): string {
  const { name, namespace, type, reason, action, regarding, reportingController, reportingInstance } = event
  return JSON.stringify({
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name, namespace },
    // MicroTime: six digits after the point.
    eventTime: new Date(event.timeMs).toISOString().replace('Z', '000Z'),
    reportingController,
    reportingInstance,
    type,
    reason,
    action,
    note: cut(event.note),
    regarding,
  })
}

function cut(note: string): string {
  let text = note.slice(0, LONGEST_NOTE)
  while (Buffer.byteLength(text) > LONGEST_NOTE) text = text.slice(0, -1)
  return text.toWellFormed()
}
