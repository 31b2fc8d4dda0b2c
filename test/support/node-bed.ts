/**
 * A node and everything around it, for packets: two anonymous network namespaces, each held by one agent process.
 *
 * `node` is where the proxy under test programs the kernel. It has one link per local pod, one to the other nodes
 * (`remote0`), one to clients outside (`eth0`, which carries the node's own addresses) and one to the rest of the
 * world (`sink0`, the default route). `world` is the far end of all links at once: every address is local there, and
 * what leaves it takes the link that belongs to its source address. So one process plays all pods, all remote
 * endpoints, all clients and the sink; a pod that talks to another pod, or to itself, still goes through the node.
 *
 * The links know no ARP and no neighbour discovery, and a new pod costs one route and one rule.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import type { Exec } from '../../src/kernel/exec.ts'
import type { AgentCommands, ListenRequest } from './node-bed-agent.ts'
import { ShellRunner } from './shell-runner.ts'

/** Who is where. Addresses are canonical text of either family. */
export interface BedLayout {
  /** Addresses of the node on `eth0`. */
  readonly nodeIps: readonly string[]
  /** Pods on this node, endpoints and clients; each has a link of its own. */
  readonly localPodIps: readonly string[]
  /** Endpoints on other nodes. */
  readonly remoteIps: readonly string[]
  /** Clients outside of the cluster. */
  readonly externalIps: readonly string[]
}

export type Place = 'node' | 'world'

/** The interface of the n-th local pod on the node is called `pod<n>`. */
export const POD_INTERFACE_PREFIX = 'pod'

interface Link {
  readonly name: string
  readonly number: number
}

const OUTSIDE: Link = { name: 'eth0', number: 1 }
const REMOTE: Link = { name: 'remote0', number: 2 }
const SINK: Link = { name: 'sink0', number: 3 }
const FIRST_POD = 10
const EVERYWHERE = ['0.0.0.0/0', '::/0']

const ENTRY = `${import.meta.dirname}/node-bed-agent.ts`

/** The far end of a JSON-lines conversation with one agent. */
class Agent {
  readonly pid: number
  readonly #child: ChildProcessWithoutNullStreams
  readonly #pending = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>()
  #nextId = 1
  #stderr = ''

  private constructor(child: ChildProcessWithoutNullStreams, pid: number) {
    this.#child = child
    this.pid = pid
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    child.on('exit', () => this.#failAll())
    createInterface({ input: child.stdout }).on('line', (line) => this.#receive(line))
  }

  static async start(place: Place): Promise<Agent> {
    const args = ['--net', '--', process.execPath, '--disable-warning=ExperimentalWarning', ENTRY, place]
    const child = spawn('unshare', args, { stdio: 'pipe' })
    if (child.pid === undefined) {
      const [error] = (await once(child, 'error')) as [Error]
      throw new Error(`Cannot start the agent of "${place}": ${error.message}; install util-linux`)
    }
    const agent = new Agent(child, child.pid)
    // The agent says hello under id 0 once it runs inside its namespace.
    await new Promise<never>((resolve, reject) => agent.#pending.set(0, { resolve, reject }))
    return agent
  }

  async ask<K extends keyof AgentCommands>(
    op: K,
    value: AgentCommands[K]['takes'],
  ): Promise<AgentCommands[K]['gives']> {
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject })
      this.#child.stdin.write(`${JSON.stringify({ id, op, value })}\n`)
    })
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.stdin.end()
    await ended
  }

  #receive(line: string): void {
    const { id, result, error } = JSON.parse(line) as { id: number; result: never; error?: string }
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    if (error === undefined) pending?.resolve(result)
    else pending?.reject(new Error(error))
  }

  #failAll(): void {
    const reason = new Error(`An agent of the node bed ended early: ${this.#stderr.trim() || 'no message'}`)
    for (const { reject } of this.#pending.values()) reject(reason)
    this.#pending.clear()
  }
}

export class NodeBed {
  readonly #node: Agent
  readonly #world: Agent
  /** Link of each pod, by its address; a pod keeps its link as long as the bed lives. */
  readonly #podLinks = new Map<string, Link>()
  /** `ip` commands (without the verb) that hold at the moment, by namespace. */
  #installed: Readonly<Record<Place, ReadonlySet<string>>> = { node: new Set(), world: new Set() }
  #podCount = 0
  readonly #lockFile: string
  readonly #programs: Readonly<Record<Place, ShellRunner>>

  private constructor(node: Agent, world: Agent) {
    this.#node = node
    this.#world = world
    this.#lockFile = `${tmpdir()}/fairlead-bed-${node.pid}.lock`
    const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
    const env = { ...process.env, PATH: path, LC_ALL: 'C', XTABLES_LOCKFILE: this.#lockFile }
    const inside = ({ pid }: Agent) =>
      new ShellRunner({ prefix: ['nsenter', '-t', String(pid), '-n', '--'], env })
    this.#programs = { node: inside(node), world: inside(world) }
  }

  /** Makes both namespaces, with forwarding on and the fixed links up. Rejects without the right to do so. */
  static async create(): Promise<NodeBed> {
    const [node, world] = await Promise.all([Agent.start('node'), Agent.start('world')])
    const bed = new NodeBed(node, world)
    try {
      await bed.#prepare()
    } catch (error) {
      await bed.close()
      throw error
    }
    return bed
  }

  get nodePid(): number {
    return this.#node.pid
  }

  /** Runs programs in the node's namespace; the xtables lock is the bed's own. */
  get exec(): Exec {
    return this.#programs.node
  }

  /** All addresses of the node's interfaces, loopback included. */
  localIps(): readonly string[] {
    const links = [OUTSIDE, REMOTE, SINK, ...this.#allPodLinks()]
    const nodeIps = [...this.#installed.node].flatMap(
      (line) => /^addr (\S+)\/\d+ (?:nodad )?dev eth0/.exec(line)?.[1] ?? [],
    )
    return ['127.0.0.1', '::1', ...links.flatMap((link) => nearIps(link.number)), ...new Set(nodeIps)]
  }

  /** Makes the bed look like `layout`; only what differs from before is touched. */
  async configure(layout: BedLayout): Promise<void> {
    await this.#growPodLinks(layout.localPodIps.length)
    this.#assignPods(layout.localPodIps)
    const want = this.#wanted(layout)
    const nodeCommands = changesBetween(this.#installed.node, want.node)
    const worldCommands = changesBetween(this.#installed.world, want.world)
    // Unlike addresses and routes, a rule does not tell its family to the tool.
    const isIpv6 = (line: string): boolean => line.includes(':')
    await Promise.all([
      this.#ip('node', nodeCommands),
      this.#ip(
        'world',
        worldCommands.filter((line) => !isIpv6(line)),
        ['-4'],
      ),
      this.#ip('world', worldCommands.filter(isIpv6), ['-6']),
    ])
    this.#installed = want
  }

  /** Gives the node one more address for a while, on `eth0`, as a cloud controller or speaker might. */
  async withNodeAddress<T>(ip: string, work: () => Promise<T>): Promise<T> {
    await this.#ip('node', [`addr add ${addressOf(ip)} dev ${OUTSIDE.name}`])
    try {
      return await work()
    } finally {
      await this.#ip('node', [`addr del ${hostPrefix(ip)} dev ${OUTSIDE.name}`])
    }
  }

  /** Opens listeners that are not open yet, in both namespaces unless told otherwise. */
  async listen(request: ListenRequest, places: readonly Place[] = ['node', 'world']): Promise<void> {
    for (const failures of await Promise.all(places.map((place) => this.ask(place, 'listen', request))))
      if (failures.length > 0) throw new Error(`Cannot listen in the node bed: ${failures.join('; ')}`)
  }

  async unlisten(request: ListenRequest, places: readonly Place[] = ['node', 'world']): Promise<void> {
    for (const failures of await Promise.all(places.map((place) => this.ask(place, 'unlisten', request))))
      if (failures.length > 0)
        throw new Error(`Cannot stop listening in the node bed: ${failures.join('; ')}`)
  }

  async ask<K extends keyof AgentCommands>(
    place: Place,
    op: K,
    value: AgentCommands[K]['takes'],
  ): Promise<AgentCommands[K]['gives']> {
    return (place === 'node' ? this.#node : this.#world).ask(op, value)
  }

  /** Runs a tool that must succeed, on the node unless told otherwise; resolves to its standard output. */
  async run(file: string, args: readonly string[], stdin = '', place: Place = 'node'): Promise<string> {
    const result = await this.#programs[place].run({ file, args, stdin })
    if (result.exitCode !== 0)
      throw new Error(`${file} ${args.join(' ')} exited with ${result.exitCode}: ${result.stderr.trim()}`)
    return result.stdout
  }

  /** Writes sysctls of the node's namespace, e.g. `net/ipv4/conf/all/route_localnet`. */
  async sysctl(values: Readonly<Record<string, string>>): Promise<void> {
    await this.#write('node', values)
  }

  /** Ends both agents, and with them the namespaces and all that is in them. */
  async close(): Promise<void> {
    for (const programs of Object.values(this.#programs)) programs.close()
    await Promise.all([this.#node.stop(), this.#world.stop()])
    rmSync(this.#lockFile, { force: true })
  }

  async #prepare(): Promise<void> {
    await Promise.all([this.#write('node', NODE_SYSCTLS), this.#write('world', WORLD_SYSCTLS)])
    await this.#addLinks([OUTSIDE, REMOTE, SINK], ['link set lo up'])
    await this.#ip('node', defaultRoutes(SINK, 'main'))
    await this.#ip('world', [
      ...defaultRoutes(SINK, 'main'),
      ...EVERYWHERE.map((cidr) => `route add local ${cidr} dev lo table local`),
    ])
    // Every address is local in the world for what comes in; what goes out never looks at the local table.
    const rules = [
      'rule add pref 200 iif lo lookup main',
      'rule add pref 300 lookup local',
      'rule del pref 0',
    ]
    await Promise.all(['-4', '-6'].map((family) => this.#ip('world', rules, [family])))
  }

  async #addLinks(links: readonly Link[], extra: readonly string[] = []): Promise<void> {
    const worldPid = this.#world.pid
    const up = links.map((link) => `link set ${link.name} arp off up`)
    const nodeCommands = links.flatMap(({ name, number }) => [
      `link add ${name} address ${mac(number)} type veth peer name ${name} address ${mac(number)} netns ${worldPid}`,
      `link set ${name} arp off up`,
      ...nearIps(number).map((ip) => `addr add ${addressOf(ip)} dev ${name}`),
    ])
    await this.#ip('node', [...extra, ...nodeCommands])
    await this.#ip('world', [...extra, ...up, ...links.flatMap((link) => defaultRoutes(link, table(link)))])
  }

  async #growPodLinks(count: number): Promise<void> {
    const links: Link[] = []
    for (; this.#podCount < count; this.#podCount++) links.push(podLink(this.#podCount))
    if (links.length > 0) await this.#addLinks(links)
  }

  #allPodLinks(): Link[] {
    return Array.from({ length: this.#podCount }, (_, i) => podLink(i))
  }

  #assignPods(ips: readonly string[]): void {
    for (const ip of [...this.#podLinks.keys()]) if (!ips.includes(ip)) this.#podLinks.delete(ip)
    const used = new Set([...this.#podLinks.values()].map((link) => link.name))
    const free = this.#allPodLinks().filter((link) => !used.has(link.name))
    for (const ip of ips) {
      if (this.#podLinks.has(ip)) continue
      const link = free.shift()
      if (link === undefined) throw new Error(`Cannot place pod ${ip}: no link is free`)
      this.#podLinks.set(ip, link)
    }
  }

  #wanted(layout: BedLayout): Record<Place, Set<string>> {
    const homes = new Map<string, Link>()
    for (const ip of layout.externalIps) homes.set(ip, OUTSIDE)
    for (const ip of layout.remoteIps) homes.set(ip, REMOTE)
    for (const [ip, link] of this.#podLinks) homes.set(ip, link)
    const node = new Set(layout.nodeIps.map((ip) => `addr ${addressOf(ip)} dev ${OUTSIDE.name}`))
    const world = new Set<string>()
    for (const [ip, link] of homes) {
      node.add(`route ${hostPrefix(ip)} via ${gateway(link, ip)} dev ${link.name} onlink`)
      world.add(`rule pref 100 iif lo from ${ip} lookup ${table(link)}`)
    }
    return { node, world }
  }

  async #ip(place: Place, commands: readonly string[], options: readonly string[] = []): Promise<void> {
    if (commands.length === 0) return
    const stdin = `${commands.join('\n')}\n`
    const result = await this.#programs[place].run({ file: 'ip', args: [...options, '-batch', '-'], stdin })
    if (result.exitCode === 0) return
    const line = commands[Number(/-:(\d+)/.exec(result.stderr)?.[1] ?? 1) - 1] ?? ''
    throw new Error(`Cannot build the node bed: "ip ${line}" in ${place}: ${result.stderr.trim()}`)
  }

  async #write(place: Place, sysctls: Readonly<Record<string, string>>): Promise<void> {
    const files = Object.fromEntries(
      Object.entries(sysctls).map(([key, value]) => [`/proc/sys/${key}`, value]),
    )
    const failures = await this.ask(place, 'write', files)
    if (failures.length > 0) throw new Error(`Cannot set sysctls of the node bed: ${failures.join('; ')}`)
  }
}

const PLAIN_SYSCTLS = {
  'net/ipv4/conf/all/rp_filter': '0',
  'net/ipv4/conf/default/rp_filter': '0',
  'net/ipv4/conf/all/send_redirects': '0',
  'net/ipv4/conf/default/send_redirects': '0',
  'net/ipv6/conf/all/disable_ipv6': '0',
  'net/ipv6/conf/default/disable_ipv6': '0',
  'net/ipv6/conf/default/accept_dad': '0',
  'net/ipv6/conf/default/addr_gen_mode': '1',
  'net/ipv6/conf/default/accept_redirects': '0',
  'net/ipv4/conf/all/accept_redirects': '0',
  'net/ipv4/conf/default/accept_redirects': '0',
  'net/ipv4/ip_nonlocal_bind': '1',
  'net/ipv6/ip_nonlocal_bind': '1',
}

const NODE_SYSCTLS = {
  // Turning forwarding on resets other settings, so it comes first.
  'net/ipv4/ip_forward': '1',
  'net/ipv6/conf/all/forwarding': '1',
  ...PLAIN_SYSCTLS,
  // Every refusal must be told at once: no limit per client, and no kind of message that the global limit counts.
  'net/ipv4/icmp_ratelimit': '0',
  'net/ipv4/icmp_ratemask': '0',
  'net/ipv6/icmp/ratelimit': '0',
  'net/ipv6/icmp/ratemask': '0',
}

const WORLD_SYSCTLS = {
  ...PLAIN_SYSCTLS,
  'net/ipv4/conf/all/accept_local': '1',
  'net/ipv4/conf/default/accept_local': '1',
}

function podLink(index: number): Link {
  return { name: `${POD_INTERFACE_PREFIX}${index}`, number: FIRST_POD + index }
}

/** The node's own addresses on a link. They are not among `nodeIps`, so that a masqueraded source shows as such. */
function nearIps(linkNumber: number): string[] {
  return [`100.64.${linkNumber}.1`, `fd64::${linkNumber.toString(16)}:1`]
}

/**
 * The next hop of all that is behind a link. It has no meaning but that many endpoints share one entry of the kernel's
 * neighbour table, which is one for all namespaces and full at 1,024.
 */
function gateway(link: Link, forIp: string): string {
  return forIp.includes(':') ? `fd64::${link.number.toString(16)}:2` : `100.64.${link.number}.2`
}

/** Both ends of a link have the same one: without ARP, the kernel sends to the address of its own interface. */
function mac(linkNumber: number): string {
  return `02:00:00:00:00:${linkNumber.toString(16).padStart(2, '0')}`
}

function table(link: Link): number {
  return 1000 + link.number
}

function defaultRoutes(link: Link, inTable: number | 'main'): string[] {
  return EVERYWHERE.map((cidr) => `route add ${cidr} dev ${link.name} table ${inTable}`)
}

function hostPrefix(ip: string): string {
  return `${ip}/${ip.includes(':') ? 128 : 32}`
}

function addressOf(ip: string): string {
  return ip.includes(':') ? `${hostPrefix(ip)} nodad` : hostPrefix(ip)
}

/** `ip` commands that turn the lines of `have` into those of `want`; removals come first. */
function changesBetween(have: ReadonlySet<string>, want: ReadonlySet<string>): string[] {
  const command = (verb: string, line: string): string => line.replace(' ', ` ${verb} `)
  return [
    ...[...have].filter((line) => !want.has(line)).map((line) => command('del', line.replace(' nodad', ''))),
    ...[...want].filter((line) => !have.has(line)).map((line) => command('add', line)),
  ]
}
