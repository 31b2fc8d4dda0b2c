import { FlowJudge, type StaleFlow } from '../../../src/backends/stale-flows.ts'
import type { EndpointRemoval } from '../../../src/model/service-port.ts'
import type { Protocol } from '../../../src/net/protocol.ts'
import type { Flow } from '../../../src/netfilter/conntrack/flow.ts'
import { aForwarding, aPort } from '../../support/forwarding-builder.ts'
import { anIp } from '../../support/decided-case.ts'

const NODE = { localIps: ['192.168.0.1', '127.0.0.1'].map(anIp) }

function dns(protocol: Protocol = 'UDP', onEndpointRemoval: EndpointRemoval = { action: 'default' }) {
  return aPort('kube-system/dns', { protocol })
    .clusterIp('172.30.0.10', 53)
    .externalIp('1.1.1.1', 53)
    .nodePort(30053)
    .endpoints('10.0.0.1:1053')
    .with({ onEndpointRemoval })
}

function flow(to: string, from: string, protocol: Protocol = 'UDP'): Flow {
  const [destination = '', destinationPort] = to.split(':')
  const [replySource = '', replySourcePort] = from.split(':')
  return {
    family: 'IPv4',
    protocol,
    source: anIp('10.0.0.9'),
    sourcePort: 5000,
    destination: anIp(destination),
    destinationPort: Number(destinationPort),
    replySource: anIp(replySource),
    replySourcePort: Number(replySourcePort),
    unreplied: false,
  }
}

function shown(stale: readonly StaleFlow[]): string[] {
  return stale.map(
    ({ flow: { destination }, action, afterSeconds, because }) =>
      `${destination} ${action} ${afterSeconds} ${because}`,
  )
}

describe('FlowJudge.staleFlows()', () => {
  test.each([
    ['an endpoint that serves', '172.30.0.10:53', '10.0.0.1:1053', []],
    ['an endpoint that is gone', '172.30.0.10:53', '10.0.0.2:1053', ['172.30.0.10 delete 0 endpoint-gone']],
    ['another port of an endpoint', '172.30.0.10:53', '10.0.0.1:53', ['172.30.0.10 delete 0 endpoint-gone']],
    ['nobody yet', '172.30.0.10:53', '172.30.0.10:53', ['172.30.0.10 delete 0 never-translated']],
    ['an external IP', '1.1.1.1:53', '10.0.0.2:1053', ['1.1.1.1 delete 0 endpoint-gone']],
    ['a NodePort', '192.168.0.1:30053', '10.0.0.2:1053', ['192.168.0.1 delete 0 endpoint-gone']],
    ['a NodePort number at an address that is not the node’s', '8.8.8.8:30053', '8.8.8.8:30053', []],
    ['somebody else', '8.8.8.8:53', '8.8.8.8:53', []],
    ['somebody else’s Service', '172.30.0.99:53', '10.9.9.9:53', []],
  ])('FlowJudge.staleFlows() judges a UDP flow to %s', (_what, to, from, want) => {
    const judge = new FlowJudge(aForwarding([dns()], NODE))
    expect(shown(judge.staleFlows([flow(to, from)]))).toEqual(want)
  })

  test('FlowJudge.staleFlows() finds a flow that a late reply made the other way round, but none of a NodePort number', () => {
    const reversed = (from: string): Flow => {
      const client = flow('10.0.0.9:5000', '10.0.0.9:5000')
      const [source = '', sourcePort] = from.split(':')
      return { ...client, source: anIp(source), sourcePort: Number(sourcePort) }
    }
    const judge = new FlowJudge(aForwarding([dns()], NODE))
    const stale = ['172.30.0.10:53', '172.30.0.10:54', '192.168.0.1:30053', '8.8.8.8:53'].map(reversed)
    expect(shown(judge.staleFlows(stale))).toEqual(['10.0.0.9 delete 0 never-translated'])
    const without = new FlowJudge(aForwarding([dns().with({ servingEndpoints: [] })], NODE))
    expect(without.staleFlows([reversed('172.30.0.10:53')])).toEqual([])
  })

  test('FlowJudge.staleFlows() treats SCTP as UDP, and leaves TCP alone', () => {
    const stale = (protocol: Protocol) =>
      new FlowJudge(aForwarding([dns(protocol)], NODE)).staleFlows([
        flow('172.30.0.10:53', '10.0.0.2:1053', protocol),
      ])
    expect(shown(stale('SCTP'))).toEqual(['172.30.0.10 delete 0 endpoint-gone'])
    expect(stale('TCP')).toEqual([])
  })

  test('FlowJudge.staleFlows() of a Service without endpoints takes the flows to those that are gone, and no others', () => {
    const judge = new FlowJudge(aForwarding([dns().endpoints()], NODE))
    const flows = [flow('172.30.0.10:53', '10.0.0.1:1053'), flow('172.30.0.10:53', '172.30.0.10:53')]
    expect(shown(judge.staleFlows(flows))).toEqual(['172.30.0.10 delete 0 endpoint-gone'])
  })

  test('FlowJudge.staleFlows() of a frontend that is gone takes what the former decision sent, and no others', () => {
    const judge = new FlowJudge(aForwarding([], NODE), aForwarding([dns()], NODE))
    const flows = [
      flow('172.30.0.10:53', '10.0.0.1:1053'),
      flow('192.168.0.1:30053', '10.0.0.1:1053'),
      flow('1.1.1.1:53', '10.7.7.7:53'),
    ]
    expect(shown(judge.staleFlows(flows))).toEqual([
      '172.30.0.10 delete 0 frontend-gone',
      '192.168.0.1 delete 0 frontend-gone',
    ])
  })

  test('FlowJudge.staleFlows() says the same after a restart, and nothing about flows that are fine', () => {
    const forwarding = aForwarding([dns()], NODE)
    const flows = [flow('172.30.0.10:53', '10.0.0.1:1053'), flow('172.30.0.10:53', '10.0.0.2:1053')]
    const first = shown(new FlowJudge(forwarding, forwarding).staleFlows(flows))
    expect(shown(new FlowJudge(forwarding).staleFlows(flows))).toEqual(first)
    expect(first).toHaveLength(1)
  })

  test.each<[EndpointRemoval, Protocol, string[]]>([
    [{ action: 'default' }, 'TCP', []],
    [{ action: 'default' }, 'UDP', ['172.30.0.10 delete 0 endpoint-gone']],
    [{ action: 'drain', seconds: undefined }, 'TCP', []],
    [{ action: 'drain', seconds: undefined }, 'UDP', []],
    [{ action: 'drain', seconds: 30 }, 'TCP', ['172.30.0.10 reset 30 endpoint-gone']],
    [{ action: 'drain', seconds: 30 }, 'UDP', ['172.30.0.10 delete 30 endpoint-gone']],
    [{ action: 'reset' }, 'TCP', ['172.30.0.10 reset 0 endpoint-gone']],
    [{ action: 'reset' }, 'UDP', ['172.30.0.10 delete 0 endpoint-gone']],
  ])('FlowJudge.staleFlows() follows the wish %j for %s', (wish, protocol, want) => {
    const judge = new FlowJudge(aForwarding([dns(protocol, wish)], NODE))
    expect(shown(judge.staleFlows([flow('172.30.0.10:53', '10.0.0.2:1053', protocol)]))).toEqual(want)
  })

  test.each<[string, string, string[]]>([
    ['an endpoint that serves', '10.0.0.1:1053', []],
    ['an endpoint that is gone', '10.0.0.2:1053', ['172.30.0.10 delete 0 endpoint-gone']],
    ['nobody, because there was no rule', '172.30.0.10:53', ['172.30.0.10 delete 0 never-translated']],
  ])('FlowJudge.staleFlows() lets a TCP client that waits for %s try again', (_what, from, want) => {
    const waiting = { ...flow('172.30.0.10:53', from, 'TCP'), unreplied: true }
    for (const wish of [{ action: 'default' }, { action: 'drain', seconds: 30 }] as const) {
      const judge = new FlowJudge(aForwarding([dns('TCP', wish)], NODE))
      expect(shown(judge.staleFlows([waiting]))).toEqual(want)
    }
  })

  test('FlowJudge.staleFlows() never resets untranslated TCP: a listener of the node has it', () => {
    const judge = new FlowJudge(aForwarding([dns('TCP', { action: 'reset' })], NODE))
    expect(judge.staleFlows([flow('192.168.0.1:30053', '192.168.0.1:30053', 'TCP')])).toEqual([])
  })

  test('FlowJudge.staleFlows() knows that a range keeps the port', () => {
    const ranged = aPort('ns/rtp', { protocol: 'UDP' })
      .clusterIp('172.30.0.11', 1000, { lastPort: 2000 })
      .endpoints('10.0.0.1:1000')
    const judge = new FlowJudge(aForwarding([ranged], NODE))
    expect(shown(judge.staleFlows([flow('172.30.0.11:1500', '10.0.0.1:1500')]))).toEqual([])
    expect(shown(judge.staleFlows([flow('172.30.0.11:1500', '10.0.0.1:1000')]))).toHaveLength(1)
    expect(shown(judge.staleFlows([flow('172.30.0.11:1500', '10.0.0.2:1500')]))).toHaveLength(1)
  })

  test('FlowJudge.staleFlows() passes over flows of the other family', () => {
    const other = { ...flow('172.30.0.10:53', '10.0.0.2:1053'), family: 'IPv6' as const }
    expect(new FlowJudge(aForwarding([dns()], NODE)).staleFlows([other])).toEqual([])
  })
})
