import { nodeIp, podCidr, podGateway, podIp } from '../address-plan.ts'
import type { LabNodePlace, PodNetwork, PodPlace } from './pod-network.ts'

const BRIDGE = 'cni0'

/**
 * A Linux bridge per node, every pod on a veth pair, one subnet per node and a route to each of the others: docker0,
 * cbr0 of kubenet, Flannel's host-gw. `br_netfilter` makes replies between pods of one bridge pass the node's
 * connection tracking; without it they would bypass the translation back.
 */
export const bridgeNetwork: PodNetwork = {
  name: 'bridge',
  about: 'a bridge per node and routes between the nodes (kubenet, Flannel host-gw)',
  probe: ['link add probe type bridge'],
  flags: ['--cluster-cidr=10.244.0.0/16'],
  prepareNode: async (node, all) => {
    await prepareBridge(node)
    const others = all.filter((other) => other.number !== node.number)
    await node.host.ip(
      others.map((other) => `route add ${podCidr(other.number)} via ${nodeIp(other.number)}`),
    )
  },
  attach: attachToBridge,
}

/** The bridge with the node's pod gateway address, and the settings every bridge with pods needs. */
export async function prepareBridge(node: LabNodePlace, mtu = 1500): Promise<void> {
  await node.host.ip([
    `link add ${BRIDGE} mtu ${mtu} type bridge`,
    `address add ${podGateway(node.number)}/24 dev ${BRIDGE}`,
    `link set ${BRIDGE} up`,
  ])
  await node.host.sysctl({ 'bridge/bridge-nf-call-iptables': '1', 'bridge/bridge-nf-call-ip6tables': '1' })
}

/** One veth pair; hairpin lets a pod reach itself through a Service. */
export async function attachToBridge({ node, index, host }: PodPlace, mtu = 1500): Promise<void> {
  const device = `veth${index}`
  await node.host.ip([
    `link add ${device} mtu ${mtu} type veth peer name eth0 mtu ${mtu} netns ${host.pid}`,
    `link set ${device} master ${BRIDGE} up`,
    `link set ${device} type bridge_slave hairpin on`,
  ])
  await host.ip([
    'link set eth0 up',
    `address add ${podIp(node.number, index)}/24 dev eth0`,
    `route add default via ${podGateway(node.number)}`,
  ])
}
