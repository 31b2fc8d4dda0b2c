/**
 * A node between two pods and a client, each a network namespace, with TCP connections that stay open. For tests of
 * what becomes of connections; packets of many kinds are the node bed's business.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { NetNamespace } from './net-namespace.ts'
import type { PeerCommand, PeerSaying } from './tcp-peer.ts'

const PEER = join(import.meta.dirname, 'tcp-peer.ts')
const PATIENCE_MS = 20_000

export const POD_A = '10.244.0.1'
export const POD_B = '10.244.0.2'
export const CLIENT = '203.0.113.5'
export const NODE_IP = '192.168.0.2'

/** The process that plays all peers of one namespace: to start one for each takes seconds in user-mode-linux. */
class PeerHost {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #listeners = new Map<number, (text: string | null) => void>()

  constructor(namespace: NetNamespace) {
    const [file = '', ...prefix] = namespace.prefix
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', PEER]
    this.#child = spawn(file, [...prefix, '--', ...node], { stdio: 'pipe' })
    this.#child.stdin.on('error', () => undefined)
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const { id, text } = JSON.parse(line) as PeerSaying
      this.#listeners.get(id)?.(text)
    })
  }

  listen(id: number, listener: (text: string | null) => void): void {
    this.#listeners.set(id, listener)
  }

  send(command: PeerCommand): void {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`)
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.stdin.end()
    await ended
  }
}

/** One end of a connection, or a server; lines in, lines out. */
export class Peer {
  readonly #host: PeerHost
  readonly #id: number
  readonly #ended = Promise.withResolvers<undefined>()
  readonly #lines: string[] = []
  #rest = ''
  #waiting: ((line: string) => void) | undefined

  constructor(host: PeerHost, id: number) {
    this.#host = host
    this.#id = id
    host.listen(id, (text) => (text === null ? this.#ended.resolve(undefined) : this.#take(text)))
  }

  /** The next line; rejects when none comes in time. */
  async line(): Promise<string> {
    const ready = this.#lines.shift()
    if (ready !== undefined) return ready
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('a peer says nothing')), PATIENCE_MS)
      this.#waiting = (line) => {
        clearTimeout(timer)
        resolve(line)
      }
    })
  }

  async ask(text: string): Promise<string> {
    this.tell(text)
    return this.line()
  }

  tell(text: string): void {
    this.#host.send({ id: this.#id, op: 'tell', text: `${text}\n` })
  }

  /** Ends the connection, or the server with its connections. */
  async close(): Promise<void> {
    this.#host.send({ id: this.#id, op: 'close' })
    await this.#ended.promise
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    this.#lines.push(...lines)
    if (this.#waiting === undefined || this.#lines.length === 0) return
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting(this.#lines.shift() ?? '')
  }
}

export class TcpLab {
  readonly node: NetNamespace
  readonly podA: NetNamespace
  readonly podB: NetNamespace
  readonly client: NetNamespace
  readonly #hosts = new Map<NetNamespace, PeerHost>()
  #peers = 0

  private constructor(namespaces: readonly [NetNamespace, NetNamespace, NetNamespace, NetNamespace]) {
    ;[this.node, this.podA, this.podB, this.client] = namespaces
  }

  static async create(): Promise<TcpLab> {
    const make = () => NetNamespace.create()
    const lab = new TcpLab([await make(), await make(), await make(), await make()])
    await lab.#wire(lab.podA, 'pod-a', POD_A)
    await lab.#wire(lab.podB, 'pod-b', POD_B)
    await lab.#wire(lab.client, 'client', CLIENT)
    await lab.node.run('ip', ['address', 'add', `${NODE_IP}/24`, 'dev', 'client'])
    await lab.node.run('ip', ['route', 'add', 'default', 'dev', 'client'])
    return lab
  }

  /** A server; resolves when it listens. */
  async serve(namespace: NetNamespace, name: string, ...ports: readonly number[]): Promise<Peer> {
    const peer = this.#start(namespace, (id) => ({ id, op: 'serve', name, ports }))
    for (const _ of ports) await peer.line()
    return peer
  }

  /** A connection; its first line is `open`, or the code of the error. `from`: the client's own port. */
  connect(namespace: NetNamespace, ip: string, port: number, from?: number): Peer {
    return this.#start(namespace, (id) => ({ id, op: 'connect', ip, port, from }))
  }

  /** Who answers a new connection, or why nobody does: `a 80 203.0.113.5`, `ECONNREFUSED`. */
  async who(namespace: NetNamespace, ip: string, port: number, from?: number): Promise<string> {
    const peer = this.connect(namespace, ip, port, from)
    const first = await peer.line()
    const answer = first === 'open' ? await peer.ask('who') : first
    await peer.close()
    return answer
  }

  async close(): Promise<void> {
    await Promise.all([...this.#hosts.values()].map((host) => host.close()))
    await Promise.all([this.node, this.podA, this.podB, this.client].map((namespace) => namespace.close()))
  }

  #start(namespace: NetNamespace, command: (id: number) => PeerCommand): Peer {
    const host = this.#hosts.get(namespace) ?? new PeerHost(namespace)
    this.#hosts.set(namespace, host)
    const id = ++this.#peers
    const peer = new Peer(host, id)
    host.send(command(id))
    return peer
  }

  /** A routed pair of devices, as many CNIs wire pods: no bridge, one route on each side. */
  async #wire(namespace: NetNamespace, name: string, ip: string): Promise<void> {
    await this.node.run(
      'ip',
      ['-batch', '-'],
      [
        `link add ${name} type veth peer name eth0 netns ${namespace.pid}`,
        `link set ${name} up`,
        `address add 169.254.1.1/32 dev ${name}`,
        `route add ${ip}/32 dev ${name}`,
        '',
      ].join('\n'),
    )
    await namespace.run(
      'ip',
      ['-batch', '-'],
      [
        'link set eth0 up',
        `address add ${ip}/32 dev eth0`,
        'route add 169.254.1.1/32 dev eth0',
        'route add default via 169.254.1.1 dev eth0',
        '',
      ].join('\n'),
    )
  }
}
