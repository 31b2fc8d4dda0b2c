import { eventsObserver } from '../../../src/daemon/events-observer.ts'
import type { ProxyObserver } from '../../../src/daemon/proxy-observer.ts'
import { EventRecorder } from '../../../src/events/event-recorder.ts'
import type { ServiceKey } from '../../../src/model/service-port.ts'
import type { KubernetesEvent } from '../../../src/watch/kubernetes-event.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const TAKEN = new Error('Cannot listen on 0.0.0.0:10256: address in use; end who has it')

type Wanted = Pick<KubernetesEvent, 'action'> & { readonly regarding: Partial<KubernetesEvent['regarding']> }

test.each<[string, (observer: ProxyObserver) => void, Wanted]>([
  [
    'FailedToStartProxierHealthcheck',
    (observer) => observer.onCannotListen?.('health server', TAKEN),
    { regarding: { kind: 'Node', name: 'node-1' }, action: 'StartKubeProxy' },
  ],
  [
    'FailedToStartMetricServer',
    (observer) => observer.onCannotListen?.('metrics server', TAKEN),
    { regarding: { kind: 'Node', name: 'node-1' }, action: 'StartKubeProxy' },
  ],
  [
    'FailedToStartServiceHealthcheck',
    (observer) => observer.onHealthCheckClosed?.('shop/web' as ServiceKey, TAKEN),
    { regarding: { kind: 'Service', namespace: 'shop', name: 'web' }, action: 'Listen' },
  ],
])('eventsObserver() tells %s with the cause, as kube-proxy does', (reason, happen, wanted) => {
  const sent: KubernetesEvent[] = []
  const createEvent = async (event: KubernetesEvent): Promise<void> => {
    sent.push(event)
    return Promise.resolve()
  }
  const observer = eventsObserver({
    recorder: new EventRecorder({ sender: { createEvent }, clock: new ManualClock(0), host: 'host-1' }),
    nodeName: 'node-1',
    conflicts: () => [],
    uidOf: () => undefined,
    signal: new AbortController().signal,
  })
  happen(observer)
  expect(sent).toEqual([expect.objectContaining({ type: 'Warning', reason, note: TAKEN.message })])
  expect(sent[0]).toMatchObject(wanted)
})
