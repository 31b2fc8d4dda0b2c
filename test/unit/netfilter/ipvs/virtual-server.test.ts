import { parseCommand, parseSavedServers, renderCommand } from '../../../../src/netfilter/ipvs/command.ts'
import { encodeCommand, encodeSelector } from '../../../../src/netfilter/ipvs/netlink-message.ts'
import { parseConnectionCounts, parsePacketCounts } from '../../../../src/netfilter/ipvs/parse-list.ts'
import {
  addressSelector,
  isDrained,
  markSelector,
  readSelector,
  realServer,
  realServerKey,
  selectorFamily,
  virtualServer,
} from '../../../../src/netfilter/ipvs/virtual-server.ts'
import { anIp } from '../../../support/forwarding-builder.ts'

/** `ipvsadm --save -n`, ipvsadm 1.31. */
const SAVED = `-A -t 10.0.0.1:80 -s rr
-a -t 10.0.0.1:80 -r 10.2.0.1:80 -m -w 100
-a -t 10.0.0.1:80 -r 10.2.0.2:80 -m -w 0
-A -t 10.0.0.2:80 -s mh -p 10800 -b mh-port
-A -u 10.0.0.2:53 -s sh -b sh-port
-A --sctp-service 10.0.0.2:53 -s wlc
-A -t [fd00::1]:80 -s rr -p 300
-a -t [fd00::1]:80 -r [fd00::5]:8080 -m -w 1
-A -f 123 -s rr
-a -f 123 -r 10.2.0.5:0 -m -w 1
-A -f 123 -6 -s rr
-a -f 123 -6 -r [fd00::5]:0 -g -w 1
`

/** `ipvsadm -L -n`, ipvsadm 1.31. */
const LISTED = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.0.0.1:80 rr
  -> 10.2.0.1:80                  Masq    100    3          0         
  -> 10.2.0.2:80                  Masq    0      1          12        
TCP  10.0.0.2:80 mh (mh-port) persistent 10800
SCTP 10.0.0.2:53 wlc
  -> 10.2.0.2:53                  Masq    1      0          0         
TCP  [fd00::1]:80 rr persistent 300
  -> [fd00::5]:8080               Masq    1      0          2         
FWM  123 rr
  -> 10.2.0.5:0                   Masq    1      4          0         
FWM  123 IPv6 rr
  -> [fd00::5]:0                  Masq    1      0          5         
`

describe('selectors', () => {
  test.each([
    [addressSelector('TCP', anIp('10.0.0.1'), 80), '-t 10.0.0.1:80', 'IPv4'],
    [addressSelector('UDP', anIp('fd00::1'), 53), '-u [fd00::1]:53', 'IPv6'],
    [addressSelector('SCTP', anIp('10.0.0.1'), 9), '--sctp-service 10.0.0.1:9', 'IPv4'],
    [markSelector(3, 'IPv4'), '-f 3', 'IPv4'],
    [markSelector(3, 'IPv6'), '-f 3 -6', 'IPv6'],
  ])('are ipvsadm’s words: %s', (selector, text, family) => {
    expect(selector).toBe(text)
    expect(selectorFamily(selector)).toBe(family)
  })

  test('readSelector() reads what was rendered, and nothing else', () => {
    expect(readSelector('-u [fd00::1]:53')).toEqual({ protocol: 'UDP', ip: 'fd00::1', port: 53 })
    expect(readSelector('-f 7 -6')).toEqual({ mark: 7, family: 'IPv6' })
    expect(readSelector('-t somewhere:80')).toBeUndefined()
    expect(readSelector('')).toBeUndefined()
  })
})

describe('virtualServer() and realServer()', () => {
  test('print options in the order in which ipvsadm saves them', () => {
    const choices = { scheduler: 'mh-port', persistentSeconds: 10800 }
    expect(virtualServer('-t 10.0.0.2:80', choices).text).toBe('-s mh -p 10800 -b mh-fallback,mh-port')
    expect(virtualServer('-f 3', { scheduler: 'sh', persistentSeconds: undefined }).text).toBe(
      '-s sh -b sh-fallback',
    )
    expect(virtualServer('-f 3', { scheduler: 'rr', persistentSeconds: undefined }).text).toBe('-s rr')
  })

  test('isDrained() looks at the weight and not at digits that look alike', () => {
    const weighing = (weight: number) =>
      realServer('-t 10.0.0.1:80', '10.2.0.1:80', { weight, drainSeconds: undefined })
    expect(isDrained(weighing(0))).toBe(true)
    expect(isDrained(weighing(10))).toBe(false)
  })
})

describe('parseSavedServers()', () => {
  test('gives back what renderCommand() printed', () => {
    const servers = parseSavedServers(SAVED)
    expect(servers).toHaveLength(12)
    expect(servers.map((server) => `${renderCommand({ verb: 'add', server })}\n`).join('')).toBe(SAVED)
  })

  test('keeps a forwarding method that is not ours visible', () => {
    expect(parseSavedServers(SAVED).at(-1)?.text).toBe('-g -w 1')
  })

  test.each(['', '-A', '-C', '-A -t', 'Service already exists', '-a -t 10.0.0.1:80 -m -w 1'])(
    'leaves out %j',
    (line) => {
      expect(parseSavedServers(line)).toEqual([])
    },
  )
})

test.each([
  '-E -t 10.0.0.1:80 -s wrr',
  '-e -f 3 -r 10.2.0.1:0 -m -w 0',
  '-D -f 3 -6',
  '-d -u [fd00::1]:53 -r [fd00::2]:53',
])('parseCommand() and renderCommand() are inverse: %s', (line) => {
  const command = parseCommand(line)
  expect(command && renderCommand(command)).toBe(line)
})

test('parseConnectionCounts() adds active and inactive connections of every real server', () => {
  expect(Object.fromEntries(parseConnectionCounts(LISTED))).toEqual({
    [realServerKey('-t 10.0.0.1:80', '10.2.0.1:80')]: 3,
    [realServerKey('-t 10.0.0.1:80', '10.2.0.2:80')]: 13,
    [realServerKey('--sctp-service 10.0.0.2:53', '10.2.0.2:53')]: 0,
    [realServerKey('-t [fd00::1]:80', '[fd00::5]:8080')]: 2,
    [realServerKey('-f 123', '10.2.0.5:0')]: 4,
    [realServerKey('-f 123 -6', '[fd00::5]:0')]: 5,
  })
})

test('parsePacketCounts() gives the packets that came in for every virtual and real server', () => {
  const listed = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  10.0.0.1:80                         3       18       15     1080      900
  -> 10.2.0.1:80                         2       12       10      720      600
  -> 10.2.0.2:80                         1        6        5      360      300
TCP  [fd00::1]:80                        1        4        0      240        0
`
  expect(Object.fromEntries(parsePacketCounts(listed))).toEqual({
    'virtual -t 10.0.0.1:80': 18,
    [realServerKey('-t 10.0.0.1:80', '10.2.0.1:80')]: 12,
    [realServerKey('-t 10.0.0.1:80', '10.2.0.2:80')]: 6,
    'virtual -t [fd00::1]:80': 4,
  })
})

describe('encodeCommand()', () => {
  const hex = (line: string) => {
    const command = parseCommand(line)
    const encoded = command && encodeCommand(command)
    return encoded && `${encoded.number} ${Buffer.from(encoded.attributes).toString('hex')}`
  }

  test('names a virtual server by family, protocol, address and port', () => {
    expect(hex('-D -t 10.0.0.1:80')).toBe(
      '3 30000180' +
        '0600010002000000' +
        '0600020006000000' +
        '140003000a000001000000000000000000000000' +
        '0600040000500000',
    )
  })

  test('names one of a mark by family and mark', () => {
    expect(hex('-D -f 3 -6')).toBe('3 14000180' + '060001000a000000' + '0800050003000000')
  })

  test.each([
    ['-A -t 10.0.0.1:80 -s rr', 1],
    ['-E -t 10.0.0.1:80 -s mh -p 10800 -b mh-port', 2],
    ['-a -t 10.0.0.1:80 -r 10.2.0.1:80 -m -w 7', 5],
    ['-e -f 3 -r 10.2.0.1:0 -m -w 0', 6],
    ['-d -t [fd00::1]:80 -r [fd00::2]:80', 7],
  ])('has a command for %s', (line, number) => {
    expect(hex(line)?.split(' ')[0]).toBe(String(number))
  })

  test.each([
    '-A -t 10.0.0.1:80 -s rr -O',
    '-a -t 10.0.0.1:80 -r 10.2.0.1:80 -g -w 1',
    '-A -t 10.0.0.1:80 -s mh -b flag-9',
  ])('does not pretend to know %s', (line) => {
    expect(hex(line)).toBeUndefined()
  })

  test('encodeSelector() refuses text that selects nothing', () => {
    expect(encodeSelector('-t nowhere')).toBeUndefined()
  })
})
