/** Judges what a packet experienced by what a case expects; used by the oracle, and fit for every other judge. */
import type { Verdict } from '../../src/forwarding/route-packet.ts'
import { hostPort } from '../../src/net/ip.ts'
import type { ConformanceFlow, Outcome } from './conformance-case.ts'

/** The oracle's verdict in the words of a case. A mixed answer to "masqueraded?" is told as `hairpin` targets. */
export function outcomeOf(verdict: Verdict): Outcome {
  if (verdict.kind !== 'dnat') return { kind: verdict.kind }
  return {
    kind: 'dnat',
    endpoints: verdict.targets.map(({ ip, port }) => hostPort(ip, port)).sort(),
    masq: verdict.targets.some(({ masquerade }) => masquerade),
  }
}

/** Whether the outcome is one that the flow allows; `accept` is anything that is not filtered. */
export function isAllowed(flow: ConformanceFlow, outcome: Outcome): boolean {
  const allowed = [...(flow.expect === undefined ? [] : [flow.expect]), ...Object.values(flow.expectBy)]
  return allowed.some((expected) => isSame(expected, outcome))
}

export function isSame(expected: Outcome, outcome: Outcome): boolean {
  if (expected.kind === 'accept') return outcome.kind === 'none' || outcome.kind === 'accept'
  if (expected.kind !== 'dnat' || outcome.kind !== 'dnat') return expected.kind === outcome.kind
  return (
    expected.masq === outcome.masq &&
    [...expected.endpoints].sort().join() === [...outcome.endpoints].sort().join()
  )
}

/** `dnat 10.0.0.1:80 10.0.0.2:80 masq`, for messages. */
export function outcomeText(outcome: Outcome): string {
  if (outcome.kind !== 'dnat') return outcome.kind
  return ['dnat', ...outcome.endpoints, ...(outcome.masq ? ['masq'] : [])].join(' ')
}
