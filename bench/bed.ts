/**
 * Where one run happens: anonymous namespaces, and two ways through them.
 *
 *            ┌── node 192.168.201.1 ──┐
 *   client ──┤                        ├── server (all endpoint addresses, the API server)
 *            └── bare 192.168.202.1 ──┘
 *
 * The node forwards, and nothing else runs in it than the proxy under test. `bare` is a node without any proxy or rule,
 * so that both can be compared within one loop of connections. What is sent to a Service nobody has programmed reaches
 * the server, which refuses it at once; so a client never waits for a timeout.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ChildProcess } from 'node:child_process'
import { NetHost } from '../src/lab/net-host.ts'
import type { ApiCommands } from './api-process.ts'
import {
  BARE_IP,
  type ClusterSize,
  ENDPOINT_CIDR,
  NODE_IP,
  PORTS,
  replacementIp,
  SERVICE_CIDR,
  udpEndpointIps,
} from './cluster.ts'
import { spawnInside, Talker } from './inside.ts'
import { Prober } from './prober.ts'

const SERVER_IP = '192.168.201.2'
const CLIENT_IP = '10.200.0.2'
const GATEWAY_IP = '10.200.0.1'
const BARE_PATH = {
  client: '10.201.0.2',
  gateway: '10.201.0.1',
  node: '192.168.202.1',
  server: '192.168.202.2',
}

const NODE_SETTINGS = {
  'ipv4/ip_forward': '1',
  'ipv4/conf/all/rp_filter': '0',
  'ipv4/conf/default/rp_filter': '0',
  // Connections by the ten thousand must not fill the table of tracked connections.
  'netfilter/nf_conntrack_tcp_timeout_close': '1',
  'netfilter/nf_conntrack_tcp_timeout_time_wait': '1',
  'netfilter/nf_conntrack_udp_timeout': '2',
}

const END_SETTINGS = { 'ipv4/ip_local_port_range': '1025 65000', 'ipv4/tcp_tw_reuse': '1' }

export class Bed {
  readonly client: NetHost
  readonly node: NetHost
  readonly server: NetHost
  readonly #bare: NetHost
  readonly size: ClusterSize
  /** A folder of the run's own. */
  readonly directory: string
  readonly #children: ChildProcess[] = []
  #api: Talker | undefined
  #prober: Prober | undefined
  readonly #pending = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>()
  #nextId = 1
  #replacements = 0

  private constructor(
    hosts: readonly [NetHost, NetHost, NetHost, NetHost],
    size: ClusterSize,
    directory: string,
  ) {
    ;[this.client, this.node, this.server, this.#bare] = hosts
    this.size = size
    this.directory = directory
  }

  /** Everything is up but the proxy; with `withApi` false there is no API server either. */
  static async create(size: ClusterSize, options: { withApi?: boolean } = {}): Promise<Bed> {
    const hosts = await Promise.all(['client', 'node', 'server', 'bare'].map((name) => NetHost.create(name)))
    const bed = new Bed(
      hosts as [NetHost, NetHost, NetHost, NetHost],
      size,
      mkdtempSync(join(tmpdir(), 'fairlead-bench-')),
    )
    try {
      await bed.#wire()
      await bed.#wireBare()
      await bed.#startServers()
      if (options.withApi ?? true) await bed.#startApi()
      return bed
    } catch (error) {
      await bed.close()
      throw error
    }
  }

  get prober(): Prober {
    if (this.#prober === undefined) throw new Error('Cannot probe: the bed is not up')
    return this.#prober
  }

  get kubeconfig(): string {
    return join(this.directory, 'kubeconfig')
  }

  /** What every program on the node is started with; the lock of iptables is the bed's own. */
  get nodeEnv(): NodeJS.ProcessEnv {
    return {
      PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
      XTABLES_LOCKFILE: join(this.directory, 'xtables.lock'),
      LC_ALL: 'C',
    }
  }

  async api<K extends keyof ApiCommands>(
    op: K,
    value: ApiCommands[K]['takes'],
  ): Promise<ApiCommands[K]['gives']> {
    if (this.#api === undefined) throw new Error('Cannot ask the API server: this bed has none')
    const id = this.#nextId++
    this.#api.say(JSON.stringify({ id, op, value }))
    return new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }))
  }

  /** An address that no endpoint had before, and the slot of a Service that may get it: each in turn. */
  nextReplacement(): { ip: string; slot: number } {
    const n = this.#replacements++
    return { ip: replacementIp(n), slot: n % this.size.endpoints }
  }

  /** A second client, for instance on the node. The caller stops it. */
  async newProber(host: NetHost): Promise<Prober> {
    return Prober.start(host)
  }

  /** Starts a program that lives as long as the bed. */
  background(host: NetHost, command: readonly string[]): void {
    this.#children.push(spawnInside(host, command, { stdio: ['ignore', 'ignore', 'inherit'] }))
  }

  async close(): Promise<void> {
    await Promise.all([this.#api?.stop(), this.#prober?.stop()])
    for (const child of this.#children) child.kill('SIGKILL')
    await Promise.all([this.client, this.node, this.server, this.#bare].map(async (host) => host.close()))
    rmSync(this.directory, { recursive: true, force: true })
  }

  async #wire(): Promise<void> {
    const { client, node, server } = this
    await node.ip([
      `link add client0 type veth peer name eth0 netns ${client.pid}`,
      `link add eth0 type veth peer name eth0 netns ${server.pid}`,
      'link set client0 up',
      'link set eth0 up',
      `address add ${GATEWAY_IP}/24 dev client0`,
      `address add ${NODE_IP}/24 dev eth0`,
      `route add default via ${SERVER_IP}`,
    ])
    await client.ip([
      'link set eth0 up',
      `address add ${CLIENT_IP}/24 dev eth0`,
      `route add default via ${GATEWAY_IP}`,
    ])
    await server.ip([
      'link set eth0 up',
      `address add ${SERVER_IP}/24 dev eth0`,
      `route add default via ${NODE_IP}`,
      `route add local ${ENDPOINT_CIDR} dev lo`,
      `route add local ${SERVICE_CIDR} dev lo`,
    ])
    await Promise.all([
      node.sysctl(NODE_SETTINGS),
      client.sysctl(END_SETTINGS),
      server.sysctl({ 'core/somaxconn': '4096' }),
    ])
  }

  async #wireBare(): Promise<void> {
    const { client, gateway, node, server } = BARE_PATH
    await this.#bare.ip([
      `link add client0 type veth peer name bare0 netns ${this.client.pid}`,
      `link add eth0 type veth peer name bare0 netns ${this.server.pid}`,
      'link set client0 up',
      'link set eth0 up',
      `address add ${gateway}/24 dev client0`,
      `address add ${node}/24 dev eth0`,
      `route add ${BARE_IP} via ${server}`,
    ])
    await this.client.ip([
      'link set bare0 up',
      `address add ${client}/24 dev bare0`,
      `route add ${BARE_IP} via ${gateway}`,
    ])
    await this.server.ip([
      'link set bare0 up',
      `address add ${server}/24 dev bare0`,
      `route add ${client} via ${node}`,
      `address add ${BARE_IP}/32 dev lo`,
    ])
    await this.#bare.sysctl(NODE_SETTINGS)
  }

  async #startServers(): Promise<void> {
    const { tcp, http, udp, iperf } = PORTS
    const ports = [tcp, http, udp].map(({ target }) => String(target))
    const script = join(import.meta.dirname, 'tools/server.pl')
    // The workers of this program are ended with the namespace, so it is started as the lab starts containers.
    this.#children.push(
      this.server.spawn(['perl', script, ...ports, BARE_IP, ...udpEndpointIps(this.size)], {
        stdio: ['ignore', 'ignore', 'inherit'],
      }),
      this.server.spawn(['iperf3', '--server', '--port', String(iperf.target)]),
    )
    this.#prober = await Prober.start(this.client)
    await this.#prober.untilAllAnswer([`10.0.0.1:${tcp.target}`], 10_000)
  }

  async #startApi(): Promise<void> {
    const entry = join(import.meta.dirname, 'api-process.ts')
    const api = new Talker(this.server, 'API server', [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      '--max-old-space-size=6144',
      entry,
      SERVER_IP,
    ])
    this.#api = api
    await api.hear()
    void this.#hearReplies(api)
    await this.api('load', this.size)
    writeFileSync(this.kubeconfig, await this.api('kubeconfig', null), { mode: 0o600 })
  }

  /** Replies come in any order: a long command does not hold up a short one. */
  async #hearReplies(api: Talker): Promise<void> {
    try {
      for (;;) {
        const { id, result, error } = JSON.parse(await api.hear()) as {
          id: number
          result: never
          error?: string
        }
        const pending = this.#pending.get(id)
        this.#pending.delete(id)
        if (error === undefined) pending?.resolve(result)
        else pending?.reject(new Error(`Cannot do this in the API server: ${error}`))
      }
    } catch (error) {
      for (const { reject } of this.#pending.values()) reject(error as Error)
    }
  }
}
