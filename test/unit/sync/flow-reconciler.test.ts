import type { Forwarding } from '../../../src/forwarding/forwarding.ts'
import type { Flow } from '../../../src/netfilter/conntrack/flow.ts'
import { FlowReconciler } from '../../../src/sync/flow-reconciler.ts'
import { aFlowTable } from '../../support/flow-table.ts'
import { aForwarding, anIp, aPort, withPorts } from '../../support/forwarding-builder.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const dns = aPort('kube-system/dns', { protocol: 'UDP' }).clusterIp('172.30.0.10', 53)
const web = aPort('ns/web').clusterIp('172.30.0.1')

function aFlow(endpoint: string, source = '10.0.0.9'): Flow {
  return {
    ...{ family: 'IPv4', protocol: 'UDP', source: anIp(source), sourcePort: 4711 },
    ...{ destination: anIp('172.30.0.10'), destinationPort: 53 },
    ...{ replySource: anIp(endpoint), replySourcePort: 53, unreplied: false },
  }
}

function setUp(flows: readonly Flow[] = []) {
  const clock = new ManualClock()
  const stop = new AbortController()
  const table = aFlowTable(flows)
  const reconciler = new FlowReconciler({
    family: 'IPv4',
    clock,
    random: () => 1,
    table,
    onDeleted: () => undefined,
    onFailure: (error) => {
      throw error
    },
  })
  const done = reconciler.start(stop.signal)
  const consider = async (forwarding: Forwarding): Promise<void> => {
    reconciler.consider(forwarding)
    await clock.advance(2000)
  }
  const end = async (): Promise<void> => {
    stop.abort()
    await done
  }
  return { consider, seen: table, end }
}

test('FlowReconciler forgets UDP flows to an endpoint that is gone, and no others', async () => {
  const stale = aFlow('10.0.0.1')
  const { consider, seen, end } = setUp([stale, aFlow('10.0.0.2', '10.0.0.8')])
  const before = aForwarding([dns.endpoints('10.0.0.1:53', '10.0.0.2:53'), web.endpoints('10.0.0.3:80')])
  await consider(before)
  expect(seen.deleted).toEqual([])
  const after = dns.endpoints('10.0.0.2:53').build()
  await consider(withPorts(before, [[after.key, after]]))
  expect(seen.deleted).toEqual([stale])
  await end()
})

test('FlowReconciler forgets UDP flows of a Service that is gone', async () => {
  const stale = aFlow('10.0.0.1')
  const { consider, seen, end } = setUp([stale])
  const before = aForwarding([dns.endpoints('10.0.0.1:53'), web.endpoints('10.0.0.3:80')])
  await consider(before)
  await consider(withPorts(before, [[dns.build().key, undefined]]))
  expect(seen.deleted).toEqual([stale])
  await end()
})

test('FlowReconciler asks the kernel twice after a change that concerns flows, and not at all after others', async () => {
  const { consider, seen, end } = setUp()
  const before = aForwarding([dns.endpoints('10.0.0.1:53')])
  await consider(before)
  expect(seen.lists).toEqual(['UDP', 'UDP'])
  const later = { ...before, node: { ...before.node, name: 'other' } }
  await consider(later)
  expect(seen.lists).toHaveLength(2)
  await end()
})

test('FlowReconciler looks for TCP clients that wait in vain, whatever else there is to look for', async () => {
  const { consider, seen, end } = setUp()
  await consider(aForwarding([web.endpoints('10.0.0.3:80')]))
  expect(seen.lists).toEqual(['TCP unanswered'])
  await end()
})

test('FlowReconciler follows a port that begins and ends to concern all flows', async () => {
  const { consider, seen, end } = setUp()
  const plain = web.endpoints('10.0.0.3:80').build()
  const resetting = { ...plain, onEndpointRemoval: { action: 'reset' as const } }
  const before = aForwarding([plain])
  await consider(before)
  seen.lists.length = 0
  await consider(withPorts(before, [[plain.key, resetting]]))
  expect(seen.lists).toEqual(['TCP', 'TCP'])
  await consider(before)
  expect(seen.lists).toEqual(['TCP', 'TCP', 'TCP', 'TCP'])
  seen.lists.length = 0
  await consider(withPorts(before, [[plain.key, undefined]]))
  expect(seen.lists).toEqual([])
  await end()
})

test('FlowReconciler never walks over all ports after a change', async () => {
  const { consider, end } = setUp()
  const before = aForwarding([dns.endpoints('10.0.0.1:53'), web.endpoints('10.0.0.3:80')])
  await consider(before)
  const after = dns.endpoints('10.0.0.2:53').build()
  const next = withPorts(before, [[after.key, after]])
  const walks = { count: 0 }
  for (const { ports } of [before, next])
    for (const walk of ['values', 'entries', 'keys'] as const)
      Object.defineProperty(ports, walk, { value: () => walks.count++ })
  await consider(next)
  expect(walks.count).toBe(0)
  await end()
})
