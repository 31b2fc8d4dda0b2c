/**
 * The program inside a namespace of the node bed: opens sockets and writes sysctls there on request.
 *
 * One JSON command per line on standard input, one JSON answer per line on standard output, any number at a time. It
 * ends when its standard input closes, so the namespace that it holds open dies with whoever started it.
 *
 * Listeners tell every client who they are and whom they see, as one line of text: `place ip port seenIp seenPort`.
 */
import { type Socket as UdpSocket, createSocket } from 'node:dgram'
import { existsSync, writeFileSync } from 'node:fs'
import { type Server, type Socket, createServer, isIPv6 } from 'node:net'
import { createInterface } from 'node:readline'
import { LoadGenerator, type LoadReport, type LoadRequest } from './node-bed-load.ts'
import { type Attempt, type AttemptRequest, attempt, normalIp } from './node-bed-attempt.ts'

export interface ListenRequest {
  /** TCP ports that are answered on every address of the family. */
  readonly tcp: readonly { readonly family: 4 | 6; readonly port: number }[]
  /** UDP has no way to tell the address that was dialled, so every address has a socket of its own. */
  readonly udp: readonly { readonly ip: string; readonly port: number }[]
}

export interface TryRequest extends AttemptRequest {
  readonly tries: number
}

/** What the commands take and give back. */
export interface AgentCommands {
  write: { takes: Readonly<Record<string, string>>; gives: readonly string[] }
  listen: { takes: ListenRequest; gives: readonly string[] }
  unlisten: { takes: ListenRequest; gives: readonly string[] }
  try: { takes: TryRequest; gives: readonly Attempt[] }
  'load-start': { takes: LoadRequest; gives: number }
  'load-stop': { takes: number; gives: LoadReport }
}

const place = process.argv[2] ?? 'somewhere'
const servers = new Map<string, Server | UdpSocket>()
const loads: LoadGenerator[] = []
/** A few tries may have to wait for silence, so many are let in at once. */
const probing: Slots = { free: 300, waiting: [] }
/** Many tries are answered, and more at once than the machine can serve would only look like silence. */
const counting: Slots = { free: 40, waiting: [] }
const MANY_TRIES = 4

interface Slots {
  free: number
  readonly waiting: (() => void)[]
}

/** Writes files below /proc/sys, which always shows the namespace of the process that looks; tells what failed. */
function write(files: Readonly<Record<string, string>>): string[] {
  const failures: string[] = []
  for (const [path, value] of Object.entries(files)) {
    try {
      writeFileSync(path, value)
    } catch (error) {
      failures.push(String(error))
    }
  }
  return failures
}

function greet(socket: Socket): void {
  const { localAddress, localPort, remoteAddress, remotePort } = socket
  socket.setNoDelay(true)
  socket.on('error', () => undefined)
  // Whatever comes later is sent back: held connections use it to see whether they are still alive.
  socket.on('data', (data) => socket.write(data))
  socket.write(
    `${place} ${normalIp(localAddress ?? '?')} ${localPort ?? 0} ${normalIp(remoteAddress ?? '?')} ${remotePort ?? 0}\n`,
  )
}

async function listenTcp(family: 4 | 6, port: number): Promise<string | undefined> {
  const key = `tcp ${family} ${port}`
  if (servers.has(key)) return undefined
  const server = createServer(greet)
  servers.set(key, server)
  return new Promise((resolve) => {
    server.on('error', (error) => {
      servers.delete(key)
      resolve(`${key}: ${error.message}`)
    })
    const host = family === 4 ? '0.0.0.0' : '::'
    server.listen({ host, port, ipv6Only: family === 6, backlog: 4096 }, () => resolve(undefined))
  })
}

async function listenUdp(ip: string, port: number): Promise<string | undefined> {
  const key = `udp ${ip} ${port}`
  if (servers.has(key)) return undefined
  const socket = createSocket({ type: isIPv6(ip) ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 })
  servers.set(key, socket)
  socket.on('message', (_data, from) => {
    socket.send(
      `${place} ${normalIp(ip)} ${port} ${normalIp(from.address)} ${from.port}\n`,
      from.port,
      from.address,
    )
  })
  return new Promise((resolve) => {
    socket.on('error', (error) => {
      servers.delete(key)
      resolve(`${key}: ${error.message}`)
    })
    socket.bind({ address: ip, port }, () => resolve(undefined))
  })
}

async function listen(request: ListenRequest): Promise<string[]> {
  const results = await Promise.all([
    ...request.tcp.map(({ family, port }) => listenTcp(family, port)),
    ...request.udp.map(({ ip, port }) => listenUdp(ip, port)),
  ])
  return results.filter((failure) => failure !== undefined)
}

/** Closes listeners; resolves to those that were not open. */
async function unlisten(request: ListenRequest): Promise<string[]> {
  const keys = [
    ...request.tcp.map(({ family, port }) => `tcp ${family} ${port}`),
    ...request.udp.map(({ ip, port }) => `udp ${ip} ${port}`),
  ]
  const missing: string[] = []
  for (const key of keys) {
    const server = servers.get(key)
    servers.delete(key)
    if (server === undefined) missing.push(key)
    else await new Promise<void>((resolve) => server.close(() => resolve()))
  }
  return missing
}

async function tryOften(request: TryRequest): Promise<Attempt[]> {
  const slots = request.tries > MANY_TRIES ? counting : probing
  return Promise.all(Array.from({ length: request.tries }, () => inSlot(slots, () => attempt(request))))
}

/** Keeps the number of sockets that are open at once in bounds. */
async function inSlot<T>(slots: Slots, work: () => Promise<T>): Promise<T> {
  if (slots.free === 0) await new Promise<void>((resolve) => slots.waiting.push(resolve))
  else slots.free--
  try {
    return await work()
  } finally {
    const next = slots.waiting.shift()
    if (next === undefined) slots.free++
    else next()
  }
}

function startLoad(request: LoadRequest): number {
  loads.push(new LoadGenerator(request))
  return loads.length - 1
}

async function stopLoad(index: number): Promise<LoadReport> {
  const load = loads[index]
  if (load === undefined) throw new Error(`Cannot stop load ${index}: it was never started`)
  return load.stop()
}

const commands: { [K in keyof AgentCommands]: (value: never) => unknown } = {
  write,
  listen,
  unlisten,
  try: tryOften,
  'load-start': startLoad,
  'load-stop': stopLoad,
}

async function serve(line: string): Promise<void> {
  const { id, op, value } = JSON.parse(line) as { id: number; op: keyof AgentCommands; value: never }
  try {
    const result = await commands[op](value)
    process.stdout.write(`${JSON.stringify({ id, result })}\n`)
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ id, error: String(error) })}\n`)
  }
}

/** A kernel with IPv6 as a module loads it for the first socket of that family. */
async function loadIpv6(): Promise<void> {
  if (existsSync('/proc/net/if_inet6')) return
  const socket = createSocket('udp6')
  await new Promise<void>((resolve) => socket.on('error', () => resolve()).bind(0, () => resolve()))
  socket.close()
}

process.on('SIGINT', () => undefined)
await loadIpv6()
createInterface({ input: process.stdin })
  .on('line', (line) => void serve(line))
  .on('close', () => process.exit(0))
process.stdout.write(`${JSON.stringify({ id: 0, result: process.pid })}\n`)
