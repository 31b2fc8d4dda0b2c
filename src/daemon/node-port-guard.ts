/**
 * Keeps NodePorts and the programs of the host apart. A NodePort takes its port on every accepted address, so a program
 * that listens there is not reached any more, and nobody told it: we do. And a NodePort among the ports that the kernel
 * gives to outgoing connections is reserved, so that no connection of the host begins at it.
 */
import type { Forwarding, PortForwarding } from '../forwarding/forwarding.ts'
import { ShardedMap } from '../collections/sharded-map.ts'
import type { PortName } from '../kernel/host-listeners.ts'
import type { Sysctls } from '../kernel/sysctl.ts'
import type { ServicePortKey } from '../model/service-port.ts'
import type { Family } from '../net/ip.ts'
import { formatPortRanges, parsePortRanges } from '../netfilter/port-ranges.ts'
import type { Logger } from '../runtime/logger.ts'
import { ownTurn } from '../runtime/own-turn.ts'

const RESERVED = 'net/ipv4/ip_local_reserved_ports'
const EPHEMERAL = 'net/ipv4/ip_local_port_range'

export interface NodePortGuardOptions {
  readonly sysctls: Pick<Sysctls, 'read' | 'ensure'>
  readonly listeners: () => Promise<ReadonlySet<PortName>>
  /** Hears of every NodePort that a program of the host listens on, once for as long as the NodePort stays. */
  readonly onTaken: (port: PortForwarding, what: string) => void
  readonly log: Logger
  readonly signal: AbortSignal
}

export class NodePortGuard {
  readonly #options: NodePortGuardOptions
  readonly #seen = new Map<Family, Forwarding['ports']>()
  readonly #told = new Set<PortName>()
  /** One look after the other. */
  #last: Promise<void> = Promise.resolve()

  constructor(options: NodePortGuardOptions) {
    this.#options = options
  }

  /** These ports are in the kernel now. Resolves when all is looked at; never rejects. */
  async synced({ family, ports }: Pick<Forwarding, 'family' | 'ports'>): Promise<void> {
    // Others are told of the same sync, and of a large one each has enough to do for a turn.
    await ownTurn()
    const before = this.#seen.get(family) ?? ShardedMap.empty<ServicePortKey, PortForwarding>()
    this.#seen.set(family, ports)
    const added: PortForwarding[] = []
    for (const { from, to } of before.changesTo(ports)) {
      const had = from === undefined ? [] : namesOf(from)
      const has = to === undefined ? [] : namesOf(to)
      for (const name of had) if (!has.includes(name)) this.#told.delete(name)
      if (to !== undefined && has.some((name) => !had.includes(name))) added.push(to)
    }
    if (added.length === 0) return this.#last
    this.#last = this.#last.then(async () => this.#look(added))
    return this.#last
  }

  async #look(added: readonly PortForwarding[]): Promise<void> {
    const { log, signal } = this.#options
    try {
      await this.#tellTaken(added)
      await this.#reserve(added)
    } catch (error) {
      if (!signal.aborted)
        log.warn({ err: error }, 'Cannot keep NodePorts apart from the programs of this host')
    }
  }

  async #tellTaken(added: readonly PortForwarding[]): Promise<void> {
    const listeners = await this.#options.listeners()
    for (const port of added)
      for (const name of namesOf(port)) {
        if (!listeners.has(name) || this.#told.has(name)) continue
        this.#told.add(name)
        const what = `a program of this host listens on ${name}, which is the NodePort`
        const effect = 'on the addresses that NodePorts are accepted on the port goes to the Service now'
        this.#options.onTaken(port, `${what}: ${effect}; give one of the two another port`)
      }
  }

  async #reserve(added: readonly PortForwarding[]): Promise<void> {
    const { sysctls, log, signal } = this.#options
    const [first = 0, last = -1] = ((await sysctls.read(EPHEMERAL, signal)) ?? '').split(/\s+/).map(Number)
    const endangered = added.flatMap(nodePortsOf).filter((port) => port >= first && port <= last)
    if (endangered.length === 0) return
    const reserved = parsePortRanges((await sysctls.read(RESERVED, signal)) ?? '')
    const all = new Set([...reserved, ...endangered])
    if (all.size === reserved.size) return
    await sysctls.ensure(RESERVED, formatPortRanges(all), signal)
    log.info(
      { ports: formatPortRanges(endangered) },
      'Reserved NodePorts among the ports of outgoing connections',
    )
  }
}

function nodePortsOf({ frontends }: PortForwarding): number[] {
  return frontends.flatMap(({ kind, port }) => (kind === 'NodePort' ? [port] : []))
}

function namesOf(port: PortForwarding): PortName[] {
  return nodePortsOf(port).map((number): PortName => `${port.protocol} ${number}`)
}
