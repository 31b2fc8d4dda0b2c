import { nodeIp, podCidr, podIp, POD_CIDR, SERVICE_CIDR } from '../address-plan.ts'
import type { PodNetwork } from './pod-network.ts'

/** The node as its pods see it on their cable to it. */
const NODE_END = '169.254.1.1'

/**
 * Pods stand on the wire between the nodes by macvlan and reach each other without their node seeing it, so a second
 * cable leads to the node for everything that is not a pod: Services among it. The answer of an endpoint would take
 * the wire straight back to the client, past the translation; hence all Service traffic is masqueraded.
 */
export const macvlanNetwork: PodNetwork = {
  name: 'macvlan',
  about: 'pods directly on the wire, and a cable to the node for Services (macvlan or ipvlan CNIs, Lyft)',
  flags: ['--masquerade-all', `--cluster-cidr=${POD_CIDR}`],
  // A node does not meet its own macvlan children on the wire; it asks the other node, which has a cable to them.
  prepareNode: async (node, all) => {
    const others = all.filter((other) => other.number !== node.number)
    await node.host.ip(
      others.map((other) => `route add ${podCidr(other.number)} via ${nodeIp(other.number)}`),
    )
  },
  attach: async ({ node, index, host }) => {
    const ip = podIp(node.number, index)
    const device = `pod${index}`
    await node.host.ip([
      `link add link eth0 name mv${index} type macvlan mode bridge`,
      `link set mv${index} netns ${host.pid} name eth0`,
      `link add ${device} type veth peer name node0 netns ${host.pid}`,
      `link set ${device} up`,
      `address add ${NODE_END}/32 dev ${device}`,
      `route add ${ip} dev ${device} src ${nodeIp(node.number)}`,
    ])
    await node.host.sysctl({ [`ipv4/conf/${device}/proxy_arp`]: '1' })
    await host.ip([
      'link set eth0 up',
      'link set node0 up',
      `address add ${ip}/32 dev eth0`,
      `route add ${POD_CIDR} dev eth0 src ${ip}`,
      `route add ${NODE_END} dev node0 scope link src ${ip}`,
      `route add ${nodeIp(node.number)} via ${NODE_END} dev node0 src ${ip}`,
      `route add ${SERVICE_CIDR} via ${NODE_END} dev node0 src ${ip}`,
      `route add default via ${NODE_END} dev node0 src ${ip}`,
    ])
  },
}
