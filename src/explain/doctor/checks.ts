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
  otherProxies,
  iptablesVariant,
  jumpOrder,
  marks,
  conntrack,
  clock,
  apiServer,
]

export function examine(facts: NodeFacts): readonly Finding[] {
  return CHECKS.flatMap((check) => check.run(facts).map((judgement) => ({ check: check.name, ...judgement })))
}
