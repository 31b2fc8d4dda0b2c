import { elementTypes, encodeElementCommands } from '../../../../src/netfilter/nftables/element-message.ts'
import { readAttributes } from '../../../../src/kernel/netlink-exchange.ts'
import { aContainer } from '../../../../src/netfilter/nftables/ruleset.ts'

const TYPES = elementTypes([
  aContainer('service-ips', 'map { type ipv4_addr . inet_proto . inet_service : verdict; }'),
  aContainer(
    'endpoints-tcp',
    'map { typeof ip daddr . tcp dport . numgen random mod 65536 : ip daddr . tcp dport; }',
  ),
  aContainer('endpoint-ports-tcp', 'map { type ipv4_addr . inet_service . classid : inet_service; }'),
  aContainer('cluster-ips', 'set { type ipv6_addr; }'),
  aContainer('service-cidrs', 'set { type ipv4_addr; flags interval; }'),
  aContainer('affinity', 'map { type ipv4_addr : ipv4_addr; size 262144; flags dynamic,timeout; }'),
  aContainer('marks', 'set { type mark; }'),
])

/** The list of elements of the one command, as hexadecimal words. */
function elementsOf(command: string): string | undefined {
  const [message] = encodeElementCommands(`${command}\n`, TYPES) ?? []
  const list = message && readAttributes(Buffer.from(message.attributes)).get(3)
  return list?.toString('hex').match(/.{8}/g)?.join(' ')
}

test('elementTypes() knows sets of single values, and leaves intervals and what packets fill to nft', () => {
  expect([...TYPES.keys()]).toEqual(['service-ips', 'endpoints-tcp', 'endpoint-ports-tcp', 'cluster-ips'])
})

// What nft 1.0.6 sends for the same commands: length and type of an attribute, then its value.
test.each([
  [
    'add element ip kube-proxy service-ips { 172.30.0.1 . 6 . 80 : goto pick }',
    '34000180 14000180 10000100 ac1e0001 06000000 00500000 1c000280 18000280 08000100 fffffffc 09000200 7069636b 00000000',
  ],
  [
    'add element ip kube-proxy service-ips { 172.30.0.2 . 6 . 80 : drop }',
    '28000180 14000180 10000100 ac1e0002 06000000 00500000 10000280 0c000280 08000100 00000000',
  ],
  [
    'add element ip kube-proxy endpoints-tcp { 172.30.0.1 . 80 . 258 : 10.1.0.5 . 8080 }',
    '28000180 14000180 10000100 ac1e0001 00500000 02010000 10000280 0c000100 0a010005 1f900000',
  ],
  [
    'add element ip kube-proxy endpoint-ports-tcp { 172.30.0.1 . 80 . 258 : 8080 }',
    '24000180 14000180 10000100 ac1e0001 00500000 02010000 0c000280 06000100 1f900000',
  ],
  [
    'delete element ip kube-proxy endpoints-tcp { 172.30.0.1 . 80 . 258 }',
    '18000180 14000180 10000100 ac1e0001 00500000 02010000',
  ],
  [
    'add element ip6 kube-proxy cluster-ips { fd00::1, fd00::2 }',
    '1c000180 18000180 14000100 fd000000 00000000 00000000 00000001 1c000180 18000180 14000100 fd000000 00000000 00000000 00000002',
  ],
])('encodeElementCommands(%s)', (command, bytes) => {
  expect(elementsOf(command)).toBe(bytes)
})

test.each([
  'add element ip kube-proxy endpoints-tcp { 172.30.0.1 . 80 : 10.1.0.5 . 8080 }',
  'add element ip kube-proxy endpoints-tcp { 172.30.0.1 . 80 . 65536 : 10.1.0.5 . 8080 }',
  'add element ip kube-proxy endpoints-tcp { 172.30.0.1 . 80 . 1 : fd00::1 . 8080 }',
  'add element ip kube-proxy service-ips { 172.30.0.1 . tcp . 80 : goto pick }',
  'add element ip kube-proxy service-ips { 172.30.0.1 . 6 . 80 : jump pick }',
  'add element ip kube-proxy service-cidrs { 10.0.0.0/8 }',
  'flush chain ip kube-proxy services',
])('encodeElementCommands() says that %s is not for it', (command) => {
  expect(encodeElementCommands(`${command}\n`, TYPES)).toBeUndefined()
})
