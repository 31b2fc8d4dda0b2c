import { choiceText, readServerTable, sumOf } from '../../../../src/netfilter/ipvs/server-table.ts'
import { realServer, virtualServerAs } from '../../../../src/netfilter/ipvs/virtual-server.ts'

/** As Linux 6.1 prints it. */
const TABLE = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  AC1E0001:0050 rr
  -> 0AF40002:1F90      Masq    1      4          12
  -> 0AF40003:1F90      Masq    0      1          0
UDP  AC1E000A:0035 rr persistent 30000 FFFFFFFF
  -> 0AF40009:0035      Masq    1      0          0
TCP  [fd00:0172:0030:0000:0000:0000:0000:0001]:0050 mh persistent 1080000 128
  -> [fd00:0010:0000:0000:0000:0000:0000:0001]:1F90      Masq    1      0          0
FWM  60000001 rr
  -> 0AF40002:0000      Masq    1      0          0
FWM  60000001 wlc
  -> [fd00:0010:0000:0000:0000:0000:0000:0001]:0000      Masq    3      0          0
FWM  60000002 rr
TCP  AC1E0002:0050 rr
  -> 0AF40002:1F90      Route   1      0          0
`

const sum = (...servers: readonly (readonly [string, number])[]) =>
  servers.reduce(
    (total, [server, weight]) =>
      (total + sumOf(realServer('-t 1.1.1.1:1', server, { weight, drainSeconds: undefined }))) >>> 0,
    0,
  )

test('readServerTable() reads the virtual servers of one family, with one number for their servers', () => {
  expect([...readServerTable(TABLE, 'IPv4')]).toEqual([
    { selector: '-t 172.30.0.1:80', choice: 'rr', servers: sum(['10.244.0.2:8080', 1]) },
    { selector: '-u 172.30.0.10:53', choice: 'rr persistent', servers: sum(['10.244.0.9:53', 1]) },
    { selector: '-f 1610612737', choice: 'rr', servers: sum(['10.244.0.2:0', 1]) },
    { selector: undefined, choice: 'rr', servers: 0 },
    { selector: '-t 172.30.0.2:80', choice: 'rr', servers: expect.any(Number) as number },
  ])
  expect([...readServerTable(TABLE, 'IPv6')]).toEqual([
    { selector: '-t [fd00:172:30::1]:80', choice: 'mh persistent', servers: sum(['[fd00:10::1]:8080', 1]) },
    { selector: '-f 1610612737 -6', choice: 'wlc', servers: sum(['[fd00:10::1]:0', 3]) },
    { selector: undefined, choice: 'rr', servers: 0 },
  ])
})

test('readServerTable() tells another way of forwarding from ours', () => {
  const rows = [...readServerTable(TABLE, 'IPv4')]
  expect(rows.at(-1)?.servers).not.toBe(sum(['10.244.0.2:8080', 1]))
})

test('readServerTable() finds nothing in a text of another kind', () => {
  expect([...readServerTable('', 'IPv4')]).toEqual([])
  expect([...readServerTable('  -> \nTCP\nTCP  ZZ:1 rr\n\0\n', 'IPv4')]).toEqual([])
})

test('sumOf() depends on address, port and weight, and not on the order', () => {
  const a = ['10.0.0.1:80', 1] as const
  const b = ['10.0.0.2:80', 1] as const
  expect(sum(a, b)).toBe(sum(b, a))
  const others = [sum(a), sum(b), sum(['10.0.0.1:81', 1], b), sum(['10.0.0.1:80', 2], b), sum(a, a)]
  expect(new Set([sum(a, b), ...others]).size).toBe(6)
  expect(sum(['10.0.0.1:80', 0])).toBe(0)
})

test.each([
  ['-s rr', 'rr'],
  ['-s mh -p 10800 -b mh-port', 'mh persistent'],
])('choiceText() of "%s" is "%s", as the table tells it', (text, choice) => {
  expect(choiceText(virtualServerAs('-t 1.1.1.1:1', text))).toBe(choice)
})
