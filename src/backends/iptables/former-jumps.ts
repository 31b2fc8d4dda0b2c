/** Jumps that only the IPVS modes write, Fairlead's and kube-proxy's: they go when the iptables mode takes over. */
import { type SharedRule, sharedRule } from '../../netfilter/iptables/chain.ts'
import { JUMPS as IPVS_JUMPS } from '../ipvs/names.ts'
import { JUMPS, PROXY_FIREWALL } from './names.ts'

const OWN = new Set(JUMPS.map(({ key }) => key))

export const FORMER_JUMPS: readonly SharedRule[] = [
  ...IPVS_JUMPS.filter(({ key }) => !OWN.has(key)),
  ...['INPUT', 'FORWARD'].map((chain) =>
    sharedRule('filter', chain, `-m comment --comment "kube-proxy firewall rules" -j ${PROXY_FIREWALL}`),
  ),
]
