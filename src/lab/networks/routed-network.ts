import { nodeIp, podCidr, podIp } from '../address-plan.ts'
import type { PodNetwork } from './pod-network.ts'

/** The address every pod sees as its gateway; the node answers ARP for it on each pod's own cable. */
const GATEWAY = '169.254.1.1'

/** A veth pair and a /32 route per pod, no bridge: Calico, and the CNIs of the clouds. */
export const routedNetwork: PodNetwork = {
  name: 'routed',
  about: 'a route per pod and no bridge (Calico, AWS VPC CNI, Azure CNI transparent)',
  probe: ['link add probe type veth peer name other'],
  flags: ['--cluster-cidr=10.244.0.0/16'],
  prepareNode: async (node, all) => {
    // Every pod's cable inherits this: the node answers for the gateway.
    await node.host.sysctl({ 'ipv4/conf/default/proxy_arp': '1' })
    const others = all.filter((other) => other.number !== node.number)
    await node.host.ip([
      ...others.map((other) => `route add ${podCidr(other.number)} via ${nodeIp(other.number)}`),
      // Addresses of pods that do not exist are unreachable at once instead of looping to the default route.
      `route add blackhole ${podCidr(node.number)}`,
    ])
  },
  attach: async ({ node, index, host }) => {
    const device = `cali${index}`
    const ip = podIp(node.number, index)
    await node.host.ip([
      `link add ${device} type veth peer name eth0 netns ${host.pid}`,
      `link set ${device} up`,
      `route add ${ip} dev ${device}`,
    ])
    // At once, not after up to 0.8 s. A namespace has no default for this that devices could inherit.
    await node.host.sysctl({ [`ipv4/neigh/${device}/proxy_delay`]: '0' })
    await host.ip([
      'link set eth0 up',
      `address add ${ip}/32 dev eth0`,
      `route add ${GATEWAY} dev eth0 scope link`,
      `route add default via ${GATEWAY} dev eth0`,
    ])
  },
}
