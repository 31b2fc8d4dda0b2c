import type { Ip } from '../../../../src/net/ip.ts'
import {
  dnat,
  loopback,
  markMask,
  matchDestination,
  matchPort,
  matchRandom,
  rule,
} from '../../../../src/netfilter/iptables/rule.ts'

test.each([
  ['one port', matchPort('TCP', 80), '-p tcp -m tcp --dport 80'],
  ['a range', matchPort('UDP', 80, 90), '-p udp -m udp --dport 80:90'],
  ['SCTP', matchPort('SCTP', 80), '-p sctp -m sctp --dport 80'],
  ['an IPv4 address', matchDestination('172.30.0.1' as Ip), '-d 172.30.0.1/32'],
  ['an IPv6 address', matchDestination('fd00::1' as Ip), '-d fd00::1/128'],
  ['a network', matchDestination('172.30.17.0' as Ip, 20), '-d 172.30.16.0/20'],
  ['DNAT to IPv4', dnat('10.0.0.1' as Ip, 80), '-j DNAT --to-destination 10.0.0.1:80'],
  ['DNAT to IPv6', dnat('fd00::1' as Ip, 80), '-j DNAT --to-destination [fd00::1]:80'],
  ['DNAT that keeps the port', dnat('fd00::1' as Ip, undefined), '-j DNAT --to-destination fd00::1'],
  ['a third', matchRandom(1 / 3), '-m statistic --mode random --probability 0.33333333333'],
  ['a mark', markMask(0x4000), '0x4000/0x4000'],
  ['loopback', `${loopback('IPv4')} ${loopback('IPv6')}`, '127.0.0.0/8 ::1/128'],
  ['parts that are not there', rule('-a', undefined, '', '-b'), '-a -b'],
])('rules say %s as iptables does', (_what, text, want) => {
  expect(text).toBe(want)
})
