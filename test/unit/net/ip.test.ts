import fc from 'fast-check'
import { familyOf, hostPort, ipBytes, ipFromBytes, parseIp } from '../../../src/net/ip.ts'
import { cidrContains, networkOf, parseCidr } from '../../../src/net/cidr.ts'

test.each([
  ['10.0.0.1', '10.0.0.1'],
  ['172.30.0.041', '172.30.0.41'],
  ['010.180.00.001', '10.180.0.1'],
  ['::1', '::1'],
  ['::', '::'],
  ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['fd00:1:0:2::3', 'fd00:1:0:2::3'],
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['fd00::10.0.0.1', 'fd00::a00:1'],
])('parseIp() reads %s as %s', (text, want) => {
  expect(parseIp(text)).toBe(want)
})

test.each([
  '',
  '10.0.0',
  '10.0.0.256',
  '10.0.0.1.2',
  '1e1.0.0.1',
  ' 10.0.0.1',
  'fe80::1%eth0',
  ':::',
  '10.0.0.1/8',
  'x',
])('parseIp() refuses %j', (text) => {
  expect(parseIp(text)).toBeUndefined()
})

test('parseIp() reads back every address that ipFromBytes() writes', () => {
  const byte = fc.integer({ min: 0, max: 255 })
  const sparse = fc.oneof(fc.constant(0), byte)
  const bytes = fc.oneof(
    fc.array(byte, { minLength: 4, maxLength: 4 }),
    fc.array(sparse, { minLength: 16, maxLength: 16 }),
  )
  fc.assert(
    fc.property(bytes, (value) => {
      const ip = ipFromBytes(value)
      expect(ipBytes(ip)).toEqual(value)
      if (!value.slice(0, 10).every((b) => b === 0)) expect(parseIp(ip)).toBe(ip)
    }),
  )
})

test('hostPort() puts IPv6 into brackets', () => {
  expect(hostPort(parseIp('fd00::1')!, 80)).toBe('[fd00::1]:80')
  expect(hostPort(parseIp('10.0.0.1')!, 80)).toBe('10.0.0.1:80')
  expect(familyOf(parseIp('fd00::1')!)).toBe('IPv6')
})

test.each([
  ['10.1.2.3/8', '10.0.0.0/8'],
  ['10.0.0.0/0', '0.0.0.0/0'],
  ['192.168.1.77/26', '192.168.1.64/26'],
  ['fd00:10:96::5/112', 'fd00:10:96::/112'],
  ['fd00::1/128', 'fd00::1/128'],
])('parseCidr() reads %s as %s', (text, want) => {
  expect(parseCidr(text)).toBe(want)
})

test.each(['10.0.0.0', '10.0.0.0/33', 'fd00::/129', '10.0.0.0/x', '/8', ''])(
  'parseCidr() refuses %j',
  (text) => {
    expect(parseCidr(text)).toBeUndefined()
  },
)

test('cidrContains() keeps families apart and masks bits', () => {
  const cidr = parseCidr('10.0.0.0/9')!
  expect(cidrContains(cidr, parseIp('10.127.255.255')!)).toBe(true)
  expect(cidrContains(cidr, parseIp('10.128.0.0')!)).toBe(false)
  expect(cidrContains(parseCidr('::/0')!, parseIp('10.0.0.1')!)).toBe(false)
  expect(networkOf(parseIp('10.9.9.9')!, 20)).toBe('10.9.0.0/20')
})
