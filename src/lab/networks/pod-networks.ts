import { bridgeNetwork } from './bridge-network.ts'
import { ipvlanNetwork, macvlanNetwork } from './macvlan-network.ts'
import type { PodNetwork, PodNetworkName } from './pod-network.ts'
import { routedNetwork } from './routed-network.ts'
import { twoNetworks } from './two-networks.ts'
import { vxlanNetwork } from './vxlan-network.ts'

export const POD_NETWORKS: Readonly<Record<PodNetworkName, PodNetwork>> = {
  bridge: bridgeNetwork,
  routed: routedNetwork,
  vxlan: vxlanNetwork,
  macvlan: macvlanNetwork,
  ipvlan: ipvlanNetwork,
  'two-networks': twoNetworks,
}
