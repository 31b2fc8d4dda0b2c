/**
 * One connection of the self-test. It sends blanks without a line end over TCP, which no program takes for a request,
 * and a question about the root of the DNS over UDP, the protocol that is served over UDP in nearly every cluster.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { readFile } from 'node:fs/promises'
import { Socket } from 'node:net'
import type { Attempt, Place, Target } from '../../explain/doctor/self-test.ts'
import { hostPort, parseIp } from '../../net/ip.ts'
import type { Exec } from '../../kernel/exec.ts'
import type { Clock } from '../../runtime/clock.ts'

/** The first packet is sent again after one second; a third time would be after three. */
const ANSWER_MS = 3_000
const STEP_MS = 20
const SMALL = Buffer.alloc(2, ' ')
/** More than a packet of nine kilobytes, less than what a program's socket takes before it reads. */
const LARGE = Buffer.alloc(20_000, ' ')
/** Identity 1, no recursion: who serves the root zone? */
const DNS_QUESTION = Buffer.from('000100000001000000000000000002' + '0001', 'hex')

export interface TryOptions {
  readonly exec: Exec
  readonly clock: Clock
  readonly signal: AbortSignal
}

type Kind = Pick<Target, 'family' | 'protocol'>
type Result = Pick<Attempt, 'outcome' | 'detail'>

/** Resolves whatever becomes of the connection; rejects when the signal is aborted. */
export async function tryConnection(kind: Kind, place: Place, options: TryOptions): Promise<Attempt> {
  return kind.protocol === 'UDP' ? tryUdp(kind, place, options) : tryTcp(kind, place, options)
}

interface Progress {
  connected: boolean
  answered: boolean
  over: boolean
  error: string | undefined
}

async function tryTcp(kind: Kind, place: Place, options: TryOptions): Promise<Attempt> {
  const socket = new Socket()
  const progress: Progress = { connected: false, answered: false, over: false, error: undefined }
  socket.on('connect', () => (progress.connected = true))
  socket.on('error', ({ code, message }: NodeJS.ErrnoException) => (progress.error = code ?? message))
  socket.on('close', () => (progress.over = true))
  socket.resume()
  try {
    const startMs = options.clock.monotonic()
    socket.connect(place.port, place.ip)
    await until(() => progress.connected || progress.over, options)
    const connectMs = options.clock.monotonic() - startMs
    const { localPort } = socket
    const result: Result = progress.connected
      ? await sendAll(socket, progress, options)
      : notConnected(progress)
    return { ...result, connectMs, flow: await flowOf(kind, place, localPort, options) }
  } finally {
    socket.destroy()
  }
}

function notConnected({ error }: Progress): Result {
  return { outcome: error === 'ECONNREFUSED' ? 'refused' : 'silent', detail: error ?? noAnswer() }
}

async function sendAll(socket: Socket, progress: Progress, options: TryOptions): Promise<Result> {
  const hasArrived = async (bytes: Buffer): Promise<boolean> => {
    socket.write(bytes)
    return until(async () => progress.over || isAcknowledged(socket), options)
  }
  if (!(await hasArrived(SMALL))) return { outcome: 'mute', detail: noAnswer() }
  if (progress.over) return { outcome: 'closed', detail: progress.error ?? 'ended by the other side' }
  if (!(await hasArrived(LARGE))) return { outcome: 'stalled', detail: noAnswer() }
  return { outcome: 'passed', detail: '' }
}

/** Nothing of what was written is still on its way, as the kernel shows it; the program need not answer for that. */
async function isAcknowledged({ localPort = 0, remotePort = 0, remoteFamily, writableLength }: Socket) {
  const table = await readFile(`/proc/self/net/${remoteFamily === 'IPv6' ? 'tcp6' : 'tcp'}`, 'utf8')
  const row = new RegExp(`:${portWord(localPort)} [0-9A-F]+:${portWord(remotePort)} \\w+ ([0-9A-F]+):`).exec(
    table,
  )
  return writableLength === 0 && /^0+$/.test(row?.[1] ?? '')
}

function portWord(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0')
}

async function tryUdp(kind: Kind, place: Place, options: TryOptions): Promise<Attempt> {
  const socket = createSocket(kind.family === 'IPv6' ? 'udp6' : 'udp4')
  const progress: Progress = { connected: false, answered: false, over: false, error: undefined }
  socket.on('connect', () => (progress.connected = true))
  socket.on('error', (error: NodeJS.ErrnoException) => {
    progress.error = error.code ?? error.message
    progress.over = true
  })
  socket.on('message', () => (progress.answered = true))
  try {
    socket.connect(place.port, place.ip)
    await until(() => progress.connected || progress.over, options)
    // Nobody sends a lost question again but we.
    for (let sent = 0; sent < 2 && !progress.answered && !progress.over; sent++) {
      socket.send(DNS_QUESTION, (error) => (progress.error ??= error?.message))
      await until(() => progress.answered || progress.over, options)
    }
    const localPort = progress.connected && !progress.over ? portOf(socket) : undefined
    const result: Result = progress.answered ? { outcome: 'passed', detail: '' } : notConnected(progress)
    return { ...result, connectMs: 0, flow: await flowOf(kind, place, localPort, options) }
  } finally {
    socket.close()
  }
}

function portOf(socket: UdpSocket): number {
  return socket.address().port
}

function noAnswer(): string {
  return `no answer in ${ANSWER_MS / 1000} s`
}

/** Whether it came true in time. */
async function until(
  holds: () => boolean | Promise<boolean>,
  { clock, signal }: TryOptions,
): Promise<boolean> {
  const deadlineMs = clock.monotonic() + ANSWER_MS
  for (;;) {
    if (await holds()) return true
    if (clock.monotonic() >= deadlineMs) return false
    await clock.sleep(STEP_MS, signal)
  }
}

/** Where connection tracking says that it went, and as whom; the last four words of a line are the reply's. */
async function flowOf(
  { family, protocol }: Kind,
  { ip, port }: Place,
  localPort: number | undefined,
  { exec, signal }: TryOptions,
): Promise<Attempt['flow']> {
  if (localPort === undefined) return undefined
  const ours = ['--orig-dst', ip, '--orig-port-dst', String(port), '--orig-port-src', String(localPort)]
  const args = ['-L', '-f', family.toLowerCase(), '-p', protocol.toLowerCase(), ...ours, '-o', 'extended']
  const { stdout } = await exec.run({ file: 'conntrack', args, signal })
  const [, source = '', seenAs = '', sourcePort] =
    /.* src=(\S+) dst=(\S+) sport=(\d+) dport=\d+/.exec(stdout.split('\n')[0] ?? '') ?? []
  const endpoint = parseIp(source)
  return endpoint === undefined ? undefined : { endpoint: hostPort(endpoint, Number(sourcePort)), seenAs }
}
