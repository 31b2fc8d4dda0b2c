import { secondPodIp } from '../address-plan.ts'
import { attachToBridge, bridgeNetwork } from './bridge-network.ts'
import type { PodNetwork } from './pod-network.ts'

const SECOND_BRIDGE = 'net1'

/** The bridge network, and a second address per pod on a second bridge that no Service knows of: Multus and its kin. */
export const twoNetworks: PodNetwork = {
  name: 'two-networks',
  about: 'pods with two addresses on two networks; Services use the first (Multus, DANM, CNI-Genie)',
  probe: bridgeNetwork.probe,
  flags: bridgeNetwork.flags,
  prepareNode: async (node, all) => {
    await bridgeNetwork.prepareNode(node, all)
    await node.host.ip([`link add ${SECOND_BRIDGE} type bridge`, `link set ${SECOND_BRIDGE} up`])
  },
  attach: async (pod) => {
    await attachToBridge(pod)
    const device = `second${pod.index}`
    await pod.node.host.ip([
      `link add ${device} type veth peer name net1 netns ${pod.host.pid}`,
      `link set ${device} master ${SECOND_BRIDGE} up`,
    ])
    await pod.host.ip([
      'link set net1 up',
      `address add ${secondPodIp(pod.node.number, pod.index)}/24 dev net1`,
    ])
  },
}
