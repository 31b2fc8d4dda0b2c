/** Real sockets on this machine's loopback; only connection tracking is played. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { runSelfTest } from '../../../../src/daemon/doctor/run-self-test.ts'
import { tryConnection, type TryOptions } from '../../../../src/daemon/doctor/try-connection.ts'
import type { Place, Target } from '../../../../src/explain/doctor/self-test.ts'
import type { Exec } from '../../../../src/kernel/exec.ts'
import type { Family, Ip } from '../../../../src/net/ip.ts'
import type { Protocol } from '../../../../src/net/protocol.ts'
import { systemClock } from '../../../../src/runtime/clock.ts'

const LOCALHOST = { IPv4: '127.0.0.1' as Ip, IPv6: '::1' as Ip }
const closing: (() => void)[] = []
const received: Buffer[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
  received.length = 0
})

/** `line`: what conntrack prints, whatever it is asked. */
function options(line = ''): TryOptions {
  const exec: Exec = {
    run: async () => Promise.resolve({ exitCode: 0, stdout: line, stderr: '', durationMs: 1 }),
  }
  return { exec, clock: systemClock, signal: new AbortController().signal }
}

async function listen(family: Family, serve: (socket: Socket) => void): Promise<Place> {
  const server: Server = createServer(serve)
  server.listen(0, LOCALHOST[family])
  await once(server, 'listening')
  closing.push(() => server.close())
  return { ip: LOCALHOST[family], port: (server.address() as AddressInfo).port }
}

/** Reads, and never answers. */
function quiet(socket: Socket): void {
  socket.on('data', (data) => received.push(data))
  socket.on('error', () => undefined)
}

const tcp = (family: Family): { family: Family; protocol: Protocol } => ({ family, protocol: 'TCP' })
const UDP = { family: 'IPv4', protocol: 'UDP' } as const

describe('tryConnection()', () => {
  test.each(['IPv4', 'IPv6'] as const)(
    'passes %s when a program reads, which need not answer',
    async (family) => {
      const place = await listen(family, quiet)
      expect(await tryConnection(tcp(family), place, options())).toMatchObject({
        outcome: 'passed',
        flow: undefined,
      })
      expect(Buffer.concat(received).toString()).toMatch(/^ +$/)
    },
  )

  test('passes when a program does not read', async () => {
    const place = await listen('IPv4', (socket) => socket.on('error', () => undefined).pause())
    expect(await tryConnection(tcp('IPv4'), place, options())).toMatchObject({ outcome: 'passed' })
  })

  test('tells a program that hangs up from one that is not there', async () => {
    const place = await listen('IPv4', (socket) => {
      quiet(socket)
      socket.once('data', () => socket.destroy())
    })
    expect(['closed', 'passed']).toContain((await tryConnection(tcp('IPv4'), place, options())).outcome)
    const gone = { ip: LOCALHOST.IPv4, port: 1 }
    expect(await tryConnection(tcp('IPv4'), gone, options())).toMatchObject({
      outcome: 'refused',
      detail: 'ECONNREFUSED',
    })
  })

  test('asks a question of the DNS over UDP', async () => {
    const server = createSocket('udp4', (question, from) => {
      received.push(question)
      server.send('answer', from.port, from.address)
    })
    server.bind(0, LOCALHOST.IPv4)
    await once(server, 'listening')
    closing.push(() => server.close())
    const place = { ip: LOCALHOST.IPv4, port: server.address().port }
    expect(await tryConnection(UDP, place, options())).toMatchObject({ outcome: 'passed' })
    expect(received[0]?.toString('hex')).toBe('00010000000100000000000000' + '00020001')
    const refused = await tryConnection(UDP, { ip: LOCALHOST.IPv4, port: 1 }, options())
    expect(refused).toMatchObject({ outcome: 'refused' })
  })

  test('says what connection tracking knows', async () => {
    const line =
      'ipv4     2 tcp      6 117 SYN_SENT src=10.0.0.1 dst=10.96.0.1 sport=5000 dport=80 [UNREPLIED] src=10.244.2.3 dst=10.244.1.0 sport=8080 dport=61234 mark=0 use=1\n'
    const place = await listen('IPv4', quiet)
    expect((await tryConnection(tcp('IPv4'), place, options(line))).flow).toEqual({
      endpoint: '10.244.2.3:8080',
      seenAs: '10.244.1.0',
    })
  })
})

describe('runSelfTest()', () => {
  async function target(remote: Place): Promise<Target> {
    const service = await listen('IPv4', quiet)
    return { ...tcp('IPv4'), servicePort: 'a/b', service, remote: [{ ...remote, node: 'other' }], pool: 2 }
  }

  test('goes through the Service until other nodes were met, or often enough', async () => {
    const remote = await listen('IPv4', quiet)
    const line = `src=1.1.1.1 dst=2.2.2.2 sport=1 dport=2 src=${remote.ip} dst=9.9.9.9 sport=${remote.port} dport=2`
    const [met] = await runSelfTest([await target(remote)], options(`ipv4 ${line}`))
    expect(met!.through.map(({ outcome }) => outcome)).toEqual(['passed', 'passed', 'passed'])
    const [never] = await runSelfTest([await target(remote)], options())
    expect(never!.through).toHaveLength(8)
  })

  test('does not try the Service when no endpoint can be reached', async () => {
    const [tried] = await runSelfTest([await target({ ip: LOCALHOST.IPv4, port: 1 })], options())
    expect(tried).toMatchObject({ direct: [{ attempt: { outcome: 'refused' } }], through: [] })
  })
})
