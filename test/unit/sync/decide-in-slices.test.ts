import { ForwardingDecider } from '../../../src/forwarding/decide-forwarding.ts'
import { ClusterStore } from '../../../src/model/cluster-store.ts'
import { decideInSlices } from '../../../src/sync/decide-in-slices.ts'

const OPTIONS = {
  family: 'IPv4',
  hasDetector: true,
  masqueradeAll: false,
  nodePortAddresses: 'all',
  localhostNodePorts: false,
  externalIpCidrs: undefined,
} as const

function service(index: number): object {
  const clusterIP = `10.96.${index >> 8}.${index & 255}`
  // Every third one asks for the same external address: who gets it must not depend on the slices.
  const externalIPs = index % 3 === 0 ? ['203.0.113.9'] : []
  return {
    metadata: { name: `s${index}`, namespace: 'ns', creationTimestamp: '2026-01-01T00:00:00Z' },
    spec: {
      type: 'ClusterIP',
      clusterIP,
      clusterIPs: [clusterIP],
      externalIPs,
      ports: [{ port: 80, protocol: 'TCP' }],
    },
  }
}

function aSnapshot(count: number) {
  const store = new ClusterStore({ nodeName: 'node' })
  const objects = Array.from({ length: count }, (_, index) => service(index))
  store.apply({ type: 'page', resource: 'Service', first: true, objects })
  store.apply({ type: 'listed', resource: 'Service' })
  return store.snapshot()
}

test('decideInSlices() decides the same as one step, and gives the event loop turns', async () => {
  const snapshot = aSnapshot(4000)
  const sliced = new ForwardingDecider(OPTIONS)
  let calls = 0
  const decide = (part: typeof snapshot) => {
    calls++
    return sliced.decide(part)
  }
  const forwarding = await decideInSlices(snapshot, { family: 'IPv4', decide, previous: undefined })
  const whole = new ForwardingDecider(OPTIONS).decide(snapshot)
  const inOrder = (ports: typeof whole.ports) => [...ports].sort(([a], [b]) => (a < b ? -1 : 1))
  expect(inOrder(forwarding.ports)).toEqual(inOrder(whole.ports))
  expect(calls).toBe(9)
})

test('decideInSlices() takes one step for a small change', async () => {
  const snapshot = aSnapshot(300)
  const decider = new ForwardingDecider(OPTIONS)
  const first = decider.decide(snapshot)
  let calls = 0
  const decide = (part: typeof snapshot) => {
    calls++
    return decider.decide(part)
  }
  const again = await decideInSlices(snapshot, { family: 'IPv4', decide, previous: snapshot.families.IPv4 })
  expect(again).toBe(first)
  expect(calls).toBe(1)
})
