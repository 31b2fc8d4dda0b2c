import { type KubernetesEvent, renderEvent } from '../../../src/watch/kubernetes-event.ts'

const EVENT: KubernetesEvent = {
  namespace: 'default',
  name: 'node-1.17f1',
  type: 'Warning',
  reason: 'Refused',
  action: 'Sync',
  note: 'Cannot apply',
  regarding: { apiVersion: 'v1', kind: 'Node', name: 'node-1', uid: 'u-1' },
  reportingController: 'fairlead',
  reportingInstance: 'fairlead-node-1',
  timeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
}

test('renderEvent writes an Event of events.k8s.io/v1', () => {
  expect(JSON.parse(renderEvent(EVENT))).toEqual({
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: 'node-1.17f1', namespace: 'default' },
    eventTime: '2026-01-02T03:04:05.006000Z',
    type: 'Warning',
    reason: 'Refused',
    action: 'Sync',
    note: 'Cannot apply',
    regarding: { apiVersion: 'v1', kind: 'Node', name: 'node-1', uid: 'u-1' },
    reportingController: 'fairlead',
    reportingInstance: 'fairlead-node-1',
  })
})

test.each(['x', 'ü', '漢', '🚀'])('renderEvent cuts a long note of %s to what the API accepts', (letter) => {
  const { note } = JSON.parse(renderEvent({ ...EVENT, note: letter.repeat(2000) })) as { note: string }
  expect(Buffer.byteLength(note)).toBeLessThanOrEqual(1024)
  expect(Buffer.byteLength(note)).toBeGreaterThan(1018)
})
