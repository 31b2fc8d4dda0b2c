import { nodeIp, podCidr } from '../address-plan.ts'
import { attachToBridge, prepareBridge } from './bridge-network.ts'
import type { PodNetwork } from './pod-network.ts'

const TUNNEL = 'flannel.1'
/** 1500 less the 50 bytes of the outer headers. */
const MTU = 1450

/** The tunnel device's hardware address on a node: fixed, so that every other node can enter it by hand. */
function tunnelMac(node: number): string {
  return `02:00:00:00:64:${node.toString(16).padStart(2, '0')}`
}

function tunnelIp(node: number): string {
  return podCidr(node).replace('/24', '')
}

/** A bridge per node and a VXLAN tunnel between the nodes, whose neighbours are entered instead of learnt: Flannel. */
export const vxlanNetwork: PodNetwork = {
  name: 'vxlan',
  about: 'a bridge per node and an overlay between the nodes (Flannel, Calico VXLAN)',
  probe: ['link add probe type bridge', 'link add tunnel type vxlan id 1 dstport 8472'],
  flags: ['--cluster-cidr=10.244.0.0/16'],
  prepareNode: async (node, all) => {
    await prepareBridge(node, MTU)
    const others = all.filter((other) => other.number !== node.number)
    await node.host.ip([
      `link add ${TUNNEL} address ${tunnelMac(node.number)} mtu ${MTU} type vxlan id 1 dev eth0 local ${nodeIp(node.number)} dstport 8472 nolearning`,
      `address add ${tunnelIp(node.number)}/32 dev ${TUNNEL}`,
      `link set ${TUNNEL} up`,
      ...others.flatMap(({ number }) => [
        `neighbour add ${tunnelIp(number)} lladdr ${tunnelMac(number)} dev ${TUNNEL} nud permanent`,
        `route add ${podCidr(number)} via ${tunnelIp(number)} dev ${TUNNEL} onlink`,
      ]),
    ])
    const forwarding = others.map(
      ({ number }) => `fdb add ${tunnelMac(number)} dev ${TUNNEL} dst ${nodeIp(number)} self permanent`,
    )
    await node.host.run('bridge', ['-batch', '-'], `${forwarding.join('\n')}\n`)
  },
  attach: (pod) => attachToBridge(pod, MTU),
}
