import { parseFlows } from '../../../../src/netfilter/conntrack/parse-list.ts'
import { renderDeletions } from '../../../../src/netfilter/conntrack/render-deletions.ts'

// conntrack 1.4.7, `conntrack -L -o extended`
const LISTING = `ipv4     2 udp      17 29 src=10.0.0.7 dst=10.96.0.10 sport=49058 dport=53 [UNREPLIED] src=10.180.0.1 dst=10.0.0.7 sport=5353 dport=49058 mark=0 use=1
ipv6     10 tcp      6 431999 ESTABLISHED src=fd00::7 dst=fd00:96::1 sport=40000 dport=443 src=fd00:1::5 dst=fd00::7 sport=6443 dport=40000 [ASSURED] mark=0 use=1
ipv4     2 icmp     1 29 src=10.0.0.1 dst=10.0.0.2 type=8 code=0 id=1 src=10.0.0.2 dst=10.0.0.1 type=0 code=0 id=1 mark=0 use=1
nonsense
`

test('parseFlows() reads addresses, ports and state, and passes over what has no ports', () => {
  const [dns, api, ...rest] = parseFlows(LISTING)
  expect(rest).toEqual([])
  expect(dns).toEqual({
    family: 'IPv4',
    protocol: 'UDP',
    source: '10.0.0.7',
    sourcePort: 49058,
    destination: '10.96.0.10',
    destinationPort: 53,
    replySource: '10.180.0.1',
    replySourcePort: 5353,
    unreplied: true,
  })
  expect(api).toMatchObject({
    family: 'IPv6',
    protocol: 'TCP',
    replySource: 'fd00:1::5',
    replySourcePort: 6443,
    unreplied: false,
  })
})

test.each([
  ['ESTABLISHED', undefined],
  ['CLOSE_WAIT', undefined],
  ['TIME_WAIT', true],
  ['CLOSE', true],
])('parseFlows() knows whether a connection in state %s has ended', (state, ended) => {
  const line = `ipv4     2 tcp      6 110 ${state} src=10.0.0.7 dst=10.0.0.8 sport=1 dport=2 src=10.0.0.8 dst=10.0.0.7 sport=2 dport=1 [ASSURED] mark=0 use=1`
  expect(parseFlows(line).map((flow) => flow.ended)).toEqual([ended])
})

test('renderDeletions() names a flow by both directions', () => {
  expect(renderDeletions(parseFlows(LISTING).slice(0, 1))).toBe(
    '-D -f ipv4 -p udp --orig-src 10.0.0.7 --orig-dst 10.96.0.10 --orig-port-src 49058 --orig-port-dst 53 --reply-src 10.180.0.1 --reply-port-src 5353\n',
  )
})
