import { NODE_RANGE, nodeIp, podCidr, podIp, POD_CIDR, SERVICE_CIDR } from '../address-plan.ts'
import type { PodNetwork, PodPlace } from './pod-network.ts'

/** The node as its pods see it on their cable to it. */
const NODE_END = '169.254.1.1'

interface Wiring extends Pick<PodNetwork, 'name' | 'about'> {
  /** Of the device that stands on the wire, in the words of `ip link add`. */
  readonly type: string
  /** Further routes of the pod. */
  readonly routes: readonly string[]
}

/**
 * Pods stand on the wire between the nodes and reach each other without their node seeing it, so a second cable leads
 * to the node for everything that is not a pod: Services among it. The answer of an endpoint would take the wire
 * straight back to the client, past the translation; hence all Service traffic is masqueraded.
 */
function wireNetwork(given: Wiring): PodNetwork {
  const { name, about, type } = given
  return {
    name,
    about,
    probe: ['link add probe type veth peer name other', `link add link probe name pod type ${type}`],
    flags: ['--masquerade-all', `--cluster-cidr=${POD_CIDR}`],
    // A node does not meet its own children on the wire; it asks the other node, which has a cable to them.
    prepareNode: async (node, all) => {
      const others = all.filter((other) => other.number !== node.number)
      // Every pod's cable inherits this: the node answers for its end of it.
      await node.host.sysctl({ 'ipv4/conf/default/proxy_arp': '1' })
      await node.host.ip(
        others.map((other) => `route add ${podCidr(other.number)} via ${nodeIp(other.number)}`),
      )
    },
    attach: async (pod) => attachToWire(pod, given),
  }
}

export const macvlanNetwork = wireNetwork({
  name: 'macvlan',
  about: 'pods directly on the wire by macvlan, and a cable to the node for Services',
  type: 'macvlan mode bridge',
  routes: [],
})

export const ipvlanNetwork = wireNetwork({
  name: 'ipvlan',
  about: 'pods directly on the wire by ipvlan, and a cable to the node for Services (Lyft, DANM)',
  type: 'ipvlan mode l2',
  // What other nodes send comes by the wire, since ipvlan takes packets by their address; answers must go as they came.
  routes: [`${NODE_RANGE} dev eth0`],
})

async function attachToWire({ node, index, host }: PodPlace, { type, routes }: Wiring): Promise<void> {
  const ip = podIp(node.number, index)
  const device = `pod${index}`
  await node.host.ip([
    `link add link eth0 name wire${index} type ${type}`,
    `link set wire${index} netns ${host.pid} name eth0`,
    `link add ${device} type veth peer name node0 netns ${host.pid}`,
    `link set ${device} up`,
    `address add ${NODE_END}/32 dev ${device}`,
    `route add ${ip} dev ${device} src ${nodeIp(node.number)}`,
  ])
  await host.ip([
    'link set eth0 up',
    'link set node0 up',
    `address add ${ip}/32 dev eth0`,
    `route add ${POD_CIDR} dev eth0 src ${ip}`,
    ...routes.map((route) => `route add ${route} src ${ip}`),
    `route add ${NODE_END} dev node0 scope link src ${ip}`,
    `route add ${nodeIp(node.number)} via ${NODE_END} dev node0 src ${ip}`,
    `route add ${SERVICE_CIDR} via ${NODE_END} dev node0 src ${ip}`,
    `route add default via ${NODE_END} dev node0 src ${ip}`,
  ])
}
