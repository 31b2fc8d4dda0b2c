import { ipSet, markOf, markText, portElement, setElement } from '../../../../src/netfilter/ipset/ipset.ts'
import { parseSets } from '../../../../src/netfilter/ipset/parse-save.ts'
import {
  draftName,
  renderAdd,
  renderCreate,
  renderDelete,
  renderReplacement,
} from '../../../../src/netfilter/ipset/render-restore.ts'

/** `ipset save`, ipset 7.17. */
const SAVED = `create T4 hash:ip,port family inet hashsize 1024 maxelem 1048576 skbinfo bucketsize 12 initval 0xb8b7b6de
add T4 10.0.0.1,tcp:102 skbmark 0x60000001
add T4 10.0.0.1,sctp:100
create OTHER hash:ip family inet hashsize 1024 maxelem 65536
add OTHER 10.0.0.1
create T6 hash:ip,port family inet6 hashsize 1024 maxelem 1048576 bucketsize 12 initval 0x61806f0c
add T6 fd00::1,tcp:80
add T6 2001:db8:0:0:1::1,udp:53
create B bitmap:port range 0-65535
add B 30080
create N hash:ip,port,net family inet6 hashsize 1024 maxelem 1048576 bucketsize 12 initval 0x5bcaf8ad
add N fd00::1,tcp:80,fd01::/64
`

test('parseSets() reads sets that are wanted, without what ipset adds by itself', () => {
  const found = parseSets(SAVED, (name) => name !== 'OTHER')
  expect(found).toEqual([
    ipSet('T4', 'hash:ip,port', { family: 'IPv4', hasMarks: true }),
    setElement('T4', '10.0.0.1,tcp:102', 'skbmark 0x60000001'),
    setElement('T4', '10.0.0.1,sctp:100'),
    ipSet('T6', 'hash:ip,port', { family: 'IPv6' }),
    setElement('T6', 'fd00::1,tcp:80'),
    setElement('T6', '2001:db8::1:0:0:1,udp:53'),
    ipSet('B', 'bitmap:port', { family: 'IPv4' }),
    setElement('B', '30080'),
    ipSet('N', 'hash:ip,port,net', { family: 'IPv6' }),
    setElement('N', 'fd00::1,tcp:80,fd01::/64'),
  ])
})

test('render functions print lines of ipset restore', () => {
  const element = setElement('S', `10.0.0.1,${portElement('UDP', 53)}`, markText(0x60000001))
  expect(renderCreate(ipSet('S', 'hash:ip', { family: 'IPv6' }))).toBe(
    'create S hash:ip family inet6 maxelem 1048576',
  )
  expect(renderAdd(element)).toBe('add S 10.0.0.1,udp:53 skbmark 0x60000001')
  expect(renderDelete(element)).toBe('del S 10.0.0.1,udp:53')
})

test('markOf() reads marks back', () => {
  expect(markOf(markText(0x7fffffff))).toBe(0x7fffffff)
  expect(markOf('')).toBeUndefined()
})

test('renderReplacement() fills a draft and changes places with it', () => {
  const set = ipSet('S', 'hash:ip', { family: 'IPv4' })
  expect(renderReplacement(set, [setElement('S', '10.0.0.1')])).toEqual([
    'create S~ hash:ip family inet maxelem 1048576',
    'flush S~',
    'add S~ 10.0.0.1',
    'swap S~ S',
    'destroy S~',
  ])
})

test('draftName() stays within the limit of the kernel', () => {
  expect(draftName('KUBE-6-LOAD-BALANCER-SOURCE-CID')).toHaveLength(31)
})
