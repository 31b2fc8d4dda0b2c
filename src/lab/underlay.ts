/**
 * The wire between the nodes: a bridge in a namespace of its own, to which nodes, the machine outside and the way to
 * the API server are plugged. Nothing of it is visible on the machine that runs the lab.
 */
import { API_SERVER_IP, EXTERNAL_CLIENT_IP, nodeIp, POD_CIDR, UNDERLAY_LENGTH } from './address-plan.ts'
import { NetHost } from './net-host.ts'
import type { LabNodePlace } from './networks/pod-network.ts'

const WIRE = 'wire'

/** Settings of a machine that forwards for its pods, as every Kubernetes node has them. */
const NODE_SETTINGS = {
  // Refusals are ICMP errors, and Linux sends those sparingly; the clients here connect a hundred times a second.
  'ipv4/icmp_ratemask': '0',
  'ipv4/ip_forward': '1',
  'ipv4/conf/all/rp_filter': '0',
  'ipv4/conf/default/rp_filter': '0',
  'ipv6/conf/all/forwarding': '1',
}

export class Underlay {
  readonly host: NetHost
  /** Everything that is plugged in, also what could not be set up to its end. */
  readonly #plugged: Promise<NetHost>[] = []

  private constructor(host: NetHost) {
    this.host = host
  }

  static async create(): Promise<Underlay> {
    const underlay = new Underlay(await NetHost.create(WIRE))
    try {
      await underlay.#setUp()
      return underlay
    } catch (error) {
      await underlay.close()
      throw error
    }
  }

  async #setUp(): Promise<void> {
    await this.host.ip([
      `link add ${WIRE} type bridge`,
      `address add ${API_SERVER_IP}/${UNDERLAY_LENGTH} dev ${WIRE}`,
      `link set ${WIRE} up`,
    ])
    await this.#loadBridgeFilter()
    // The wire is a switch: what passes it is nobody's business here.
    await this.host.sysctl({ 'bridge/bridge-nf-call-iptables': '0', 'bridge/bridge-nf-call-ip6tables': '0' })
  }

  /** Without it, replies between pods of one bridge pass the translation back by. A kernel that lacks it goes without. */
  async #loadBridgeFilter(): Promise<void> {
    const script = '[ -e /proc/sys/net/bridge ] || "${MODPROBE:-modprobe}" br_netfilter 2>/dev/null || :'
    await this.host.run('sh', ['-c', script])
  }

  async addNode(number: number): Promise<LabNodePlace> {
    const host = await this.#plug(`node-${number}`, nodeIp(number))
    await host.sysctl(NODE_SETTINGS)
    // A node has a way to the world outside; proxy ARP answers only for addresses that it could forward to.
    await host.ip([`route add default via ${EXTERNAL_CLIENT_IP}`])
    return { number, host }
  }

  async addExternalClient(): Promise<NetHost> {
    return this.#plug('outside', EXTERNAL_CLIENT_IP)
  }

  /** Ends the wire, all nodes and the machine outside, also those that are just being made. */
  async close(): Promise<void> {
    const made = await Promise.allSettled(this.#plugged)
    const hosts = made.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    await Promise.all([this.host, ...hosts].map(async (host) => host.close()))
  }

  async #plug(name: string, ip: string): Promise<NetHost> {
    const creating = NetHost.create(name)
    this.#plugged.push(creating)
    const host = await creating
    await this.host.ip([
      `link add port-${name} type veth peer name eth0 netns ${host.pid}`,
      `link set port-${name} master ${WIRE} up`,
    ])
    await host.ip(['link set eth0 up', `address add ${ip}/${UNDERLAY_LENGTH} dev eth0`])
    return host
  }
}

/**
 * What makes pods reach the world outside: their address is replaced by the node's when they leave the cluster. Every
 * cluster has it, from the CNI plugin or an agent; it is not the service proxy's work.
 */
export async function masqueradePodsToOutside(node: LabNodePlace, iptables: string): Promise<void> {
  const match = ['-s', POD_CIDR, '!', '-d', POD_CIDR, '-o', 'eth0']
  const comment = ['-m', 'comment', '--comment', 'lab: pods leave the cluster with the address of their node']
  await node.host.run(iptables, [
    '-w',
    '-t',
    'nat',
    '-A',
    'POSTROUTING',
    ...match,
    ...comment,
    '-j',
    'MASQUERADE',
  ])
}
