/** All that the doctor looks at, in the order in which it is told. */
import {
  apiServer,
  clock,
  conntrack,
  forwarding,
  kernel,
  privileges,
  reversePath,
  tools,
} from './host-checks.ts'
import { checksum } from './checksum-check.ts'
import { mtu, routeLocalnet, vrf } from './path-checks.ts'
import { bridgeNetfilter, hairpin, podPath } from './network-checks.ts'
import type { Check, Finding, NodeFacts } from './node-facts.ts'
import { iptablesVariant, jumpOrder, marks, otherProxies } from './rule-checks.ts'

export const CHECKS: readonly Check[] = [
  privileges,
  tools,
  kernel,
  forwarding,
  reversePath,
  podPath,
  bridgeNetfilter,
  hairpin,
  mtu,
  checksum,
  vrf,
  routeLocalnet,
  otherProxies,
  iptablesVariant,
  jumpOrder,
  marks,
  conntrack,
  clock,
  apiServer,
]

/** Those that the proxy makes at its start: they need neither the rules of others nor the API server. */
export const START_CHECKS: readonly Check[] = CHECKS.filter(
  (check) => ![checksum, routeLocalnet, otherProxies, jumpOrder, apiServer].includes(check),
)

export function examine(facts: NodeFacts, checks = CHECKS): readonly Finding[] {
  return checks.flatMap((check) => check.run(facts).map((judgement) => ({ check: check.name, ...judgement })))
}
