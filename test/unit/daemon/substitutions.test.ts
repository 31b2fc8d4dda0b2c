import { withoutConnectionCounts } from '../../../src/backends/balancing-at-random.ts'
import { chooseScheduler } from '../../../src/backends/ipvs/plan-scheduler.ts'
import { eventsObserver } from '../../../src/daemon/events-observer.ts'
import { Substitutions } from '../../../src/daemon/substitutions.ts'
import { EventRecorder } from '../../../src/events/event-recorder.ts'
import type { PortForwarding } from '../../../src/forwarding/forwarding.ts'
import type { KubernetesEvent } from '../../../src/watch/kubernetes-event.ts'
import { aForwarding, aPort, withPorts } from '../../support/forwarding-builder.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const SCHEDULERS = { defaultScheduler: 'rr', unavailable: new Set(['mh']) }
const BACKENDS = {
  iptables: { substitution: (port: PortForwarding) => withoutConnectionCounts(port, 'iptables') },
  nftables: { substitution: (port: PortForwarding) => withoutConnectionCounts(port, 'nftables') },
  ipvs: { substitution: (port: PortForwarding) => chooseScheduler(port, SCHEDULERS).problem },
} as const

const web = aPort('ns/web').clusterIp('172.30.0.1').endpoints('10.0.0.1:80')

/** From a programmed decision to the event that the API server gets. */
function setUp(mode: keyof typeof BACKENDS) {
  const sent: KubernetesEvent[] = []
  const { signal } = new AbortController()
  const createEvent = (event: KubernetesEvent): Promise<void> => {
    sent.push(event)
    return Promise.resolve()
  }
  const recorder = new EventRecorder({ sender: { createEvent }, clock: new ManualClock(0), host: 'host-1' })
  const observer = eventsObserver({
    recorder,
    nodeName: 'node-1',
    conflicts: () => [],
    uidOf: ({ service }) => `uid of ${service}`,
    signal,
  })
  const substitutions = new Substitutions(BACKENDS[mode], (port, instead) =>
    observer.onSubstitution?.(port, instead),
  )
  return { sent, substitutions }
}

describe('Substitutions', () => {
  test.each([
    [
      'iptables',
      { algorithm: 'least-connection' },
      'algorithm "least-connection" is not possible in iptables mode; endpoints are chosen at random',
    ],
    [
      'nftables',
      { algorithm: 'least-connection' },
      'algorithm "least-connection" is not possible in nftables mode; endpoints are chosen at random',
    ],
    ['ipvs', { algorithm: 'random' }, 'IPVS has no random choice; "rr" is used'],
    ['ipvs', { ipvsScheduler: 'mh' }, 'this kernel has no module ip_vs_mh; "rr" is used'],
  ] as const)('in %s mode, %j becomes an event on the Service', (mode, wish, instead) => {
    const { sent, substitutions } = setUp(mode)
    substitutions.synced(aForwarding([web.with(wish)]))
    expect(sent).toEqual([
      expect.objectContaining({
        type: 'Warning',
        reason: 'NotAvailableInMode',
        note: `ns/web:/TCP: ${instead}`,
        regarding: {
          apiVersion: 'v1',
          kind: 'Service',
          namespace: 'ns',
          name: 'web',
          uid: 'uid of ns/web',
        },
      }),
    ])
  })

  test.each([
    ['iptables', { algorithm: 'random' }],
    ['iptables', { algorithm: 'source-hash' }],
    ['nftables', { algorithm: 'source-hash' }],
    ['nftables', {}],
    ['ipvs', { algorithm: 'least-connection' }],
    ['ipvs', { algorithm: 'source-hash' }],
    ['ipvs', {}],
  ] as const)('in %s mode, %j is done and nothing is said', (mode, wish) => {
    const { sent, substitutions } = setUp(mode)
    substitutions.synced(aForwarding([web.with(wish)]))
    expect(sent).toEqual([])
  })

  test('are told once for as long as they last, and again when they come back', () => {
    const told: string[] = []
    const substitutions = new Substitutions(BACKENDS.nftables, ({ key }) => told.push(key))
    const wishful = web.with({ algorithm: 'least-connection' })
    const first = aForwarding([wishful])
    substitutions.synced(first)
    const second = withPorts(first, [['ns/web:/TCP', wishful.endpoints('10.0.0.2:80').build()]])
    substitutions.synced(second)
    expect(told).toEqual(['ns/web:/TCP'])
    const third = withPorts(second, [['ns/web:/TCP', undefined]])
    substitutions.synced(third)
    substitutions.synced(first)
    expect(told).toEqual(['ns/web:/TCP', 'ns/web:/TCP'])
  })
})
