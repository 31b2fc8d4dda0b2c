import type { Forwarding } from '../../../src/forwarding/forwarding.ts'
import type { Flow } from '../../../src/netfilter/conntrack/flow.ts'
import { StrandedClients } from '../../../src/sync/stranded-clients.ts'
import { aFlowTable } from '../../support/flow-table.ts'
import { aForwarding, anIp, aPort } from '../../support/forwarding-builder.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const web = aPort('ns/web').clusterIp('172.30.0.1')

/** Nobody has answered a client of the Service yet. */
function aWaitingClient(endpoint: string, sourcePort = 4711): Flow {
  return {
    ...{ family: 'IPv4', protocol: 'TCP', source: anIp('10.0.0.9'), sourcePort },
    ...{ destination: anIp('172.30.0.1'), destinationPort: 80 },
    ...{ replySource: anIp(endpoint), replySourcePort: 80, unreplied: true },
  }
}

function setUp(flows: readonly Flow[] = [], failFirst = false) {
  const clock = new ManualClock()
  const stop = new AbortController()
  const table = aFlowTable(flows)
  let failsLeft = failFirst ? 1 : 0
  const clients = new StrandedClients({
    ...{ family: 'IPv4', clock, random: () => 1, onDeleted: () => undefined, onFailure: () => undefined },
    table: {
      ...table,
      list: (query, signal) => {
        const flowsNow = table.list(query, signal)
        return failsLeft-- > 0 ? Promise.reject(new Error('busy')) : flowsNow
      },
    },
  })
  const done = clients.start(stop.signal)
  let before: Forwarding | undefined
  const consider = async (forwarding: Forwarding, ms = 2000): Promise<void> => {
    clients.consider(forwarding, [...(before ?? aForwarding([])).ports.changesTo(forwarding.ports)])
    before = forwarding
    await clock.advance(ms)
  }
  const end = async (): Promise<void> => {
    stop.abort()
    await done
  }
  return { consider, table, end }
}

test.each([
  ['is new', [], ['10.0.0.3:80'], 1],
  ['gets its first endpoint', [web.endpoints()], ['10.0.0.3:80'], 1],
  ['loses an endpoint', [web.endpoints('10.0.0.3:80', '10.0.0.4:80')], ['10.0.0.3:80'], 1],
  ['loses its last endpoint', [web.endpoints('10.0.0.3:80')], [], 1],
  ['gets one more endpoint', [web.endpoints('10.0.0.3:80')], ['10.0.0.3:80', '10.0.0.4:80'], 0],
])(
  'StrandedClients lists those that wait, and no other flows, when a TCP Service %s',
  async (_what, ports, endpoints, looks) => {
    const { consider, table, end } = setUp()
    await consider(aForwarding(ports))
    table.lists.length = 0
    await consider(aForwarding([web.endpoints(...endpoints)]))
    expect(table.lists).toEqual(Array.from({ length: looks }, () => 'TCP unanswered'))
    await end()
  },
)

test('StrandedClients lets a client try again whose first packet met no rule', async () => {
  const waiting = aWaitingClient('172.30.0.1')
  const { consider, table, end } = setUp([waiting])
  await consider(aForwarding([web.endpoints('10.0.0.3:80')]))
  expect(table.deleted).toEqual([waiting])
  await end()
})

test('StrandedClients lets a client go elsewhere that was sent to an endpoint that is gone, and no other', async () => {
  const waiting = aWaitingClient('10.0.0.3')
  const { consider, table, end } = setUp([waiting, aWaitingClient('10.0.0.4', 4712)])
  await consider(aForwarding([web.endpoints('10.0.0.3:80', '10.0.0.4:80')]))
  await consider(aForwarding([web.endpoints('10.0.0.4:80')]))
  expect(table.deleted).toEqual([waiting])
  await end()
})

test('StrandedClients looks once for many changes, by the last of them', async () => {
  const waiting = aWaitingClient('10.0.0.3')
  const { consider, table, end } = setUp([waiting])
  for (const endpoint of ['10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:80'])
    await consider(aForwarding([web.endpoints(endpoint)]), 100)
  await consider(aForwarding([web.endpoints('10.0.0.3:80')]))
  expect(table).toMatchObject({ lists: ['TCP unanswered'], deleted: [] })
  await end()
})

test('StrandedClients looks again when it could not', async () => {
  const waiting = aWaitingClient('172.30.0.1')
  const { consider, table, end } = setUp([waiting], true)
  await consider(aForwarding([web.endpoints('10.0.0.3:80')]))
  expect(table).toMatchObject({ lists: ['TCP unanswered', 'TCP unanswered'], deleted: [waiting] })
  await end()
})
