/** From the setting to the detector of one family: how packets of local pods are recognised. */
import type { LocalDetector } from '../backends/backend.ts'
import type { DetectLocalConfig } from '../config/config.ts'
import { type Cidr, cidrFamily } from '../net/cidr.ts'
import type { Family } from '../net/ip.ts'

/** `undefined`: nobody is recognised as a pod. `podCidrs` are the Node's own and matter in mode NodeCIDR alone. */
export function localDetector(
  config: DetectLocalConfig,
  family: Family,
  podCidrs: readonly Cidr[],
): LocalDetector | undefined {
  switch (config.mode) {
    case 'ClusterCIDR':
      return bySource(config.clusterCidrs, family)
    case 'NodeCIDR':
      return bySource(podCidrs, family)
    case 'BridgeInterface':
      return { by: 'interface', name: config.bridgeInterface }
    case 'InterfaceNamePrefix': {
      const [prefix] = config.interfaceNamePrefixes
      return prefix === undefined ? undefined : { by: 'interface-prefix', prefix }
    }
  }
}

function bySource(cidrs: readonly Cidr[], family: Family): LocalDetector | undefined {
  const cidr = cidrs.find((candidate) => cidrFamily(candidate) === family)
  return cidr && { by: 'source', cidr }
}
