/** Compares what packets did with what a flow demands. Pure. */
import type { BackendName } from '../../src/backends/backend.ts'
import { parseIp } from '../../src/net/ip.ts'
import type { ConformanceFlow, Outcome } from '../conformance/conformance-case.ts'
import { type ProbeHopes, renderSightings, SAMPLED_POOL, type Sighting } from './packet-prober.ts'

/**
 * The outcome that a mode must show. Where kube-proxy's modes differ, each of ours follows the one that it replaces;
 * nobody recorded kube-proxy's ipvs mode, so ours follows iptables, with which it shares most rules.
 */
export function wantedOutcome(flow: ConformanceFlow, mode: BackendName): Outcome | undefined {
  // In our own cases the specification comes first, and `expectBy` tells what a mode cannot do.
  if (flow.grade === 'own' && flow.expect !== undefined) return flow.expect
  return flow.expectBy[mode] ?? (mode === 'ipvs' ? flow.expectBy.iptables : undefined) ?? flow.expect
}

/** What is as good as the wanted outcome: a limit of the mode that one of our own cases tells of. */
export function toleratedOutcome(flow: ConformanceFlow, mode: BackendName): Outcome | undefined {
  return flow.grade === 'own' ? flow.expectBy[mode] : undefined
}

/** How to probe for an outcome. */
export function hopesFor(flow: ConformanceFlow, outcome: Outcome): ProbeHopes {
  if (outcome.kind === 'dnat')
    return { kind: 'dnat', endpoints: outcome.endpoints, sticky: flow.affinitySeconds !== undefined }
  return { kind: outcome.kind === 'accept' ? 'none' : outcome.kind, endpoints: [] }
}

/** What is wrong, in words; `undefined`: the packets did what `wanted` says. */
export function complaint(
  flow: ConformanceFlow,
  wanted: Outcome,
  seen: readonly Sighting[],
): string | undefined {
  const strange = seen.filter((sighting) => !fits(flow, wanted, sighting))
  if (seen.length === 0) return 'saw nothing'
  if (strange.length > 0) {
    const others = seen.length - strange.length
    return `saw ${renderSightings(strange.slice(0, 10))}${others > 0 ? `, besides ${others} things that fit` : ''}`
  }
  return wanted.kind === 'dnat' ? missingEndpoints(flow, wanted.endpoints, seen) : undefined
}

export function renderOutcome(outcome: Outcome): string {
  if (outcome.kind !== 'dnat') return outcome.kind
  return `${outcome.masq ? 'masqueraded' : 'source kept'} to ${outcome.endpoints.slice(0, 10).join(' ')}`
}

function fits(flow: ConformanceFlow, wanted: Outcome, sighting: Sighting): boolean {
  switch (wanted.kind) {
    case 'dnat':
      return (
        sighting.kind === 'dnat' &&
        wanted.endpoints.includes(sighting.endpoint) &&
        (sighting.seenIp === parseIp(flow.sourceIp)) !== wanted.masq
      )
    case 'reject':
    case 'drop':
      // Who is refused by the own host learns no more than that.
      return sighting.kind === wanted.kind || sighting.kind === 'not-sent'
    case 'none':
    case 'accept':
      return sighting.kind === 'none' && sighting.seenIp === parseIp(flow.sourceIp)
  }
}

function missingEndpoints(
  flow: ConformanceFlow,
  endpoints: readonly string[],
  seen: readonly Sighting[],
): string | undefined {
  const met = new Set(seen.flatMap((sighting) => (sighting.kind === 'dnat' ? [sighting.endpoint] : [])))
  if (flow.affinitySeconds !== undefined)
    return met.size === 1 ? undefined : `is not sticky: saw ${renderSightings(seen)}`
  const missing = endpoints.filter((endpoint) => !met.has(endpoint))
  if (endpoints.length > SAMPLED_POOL) {
    // As many tries as endpoints leave 37 % of them unmet on average, and hardly ever more than half.
    return missing.length > endpoints.length / 2
      ? `never met ${missing.length} of ${endpoints.length}`
      : undefined
  }
  return missing.length > 0 ? `never met ${missing.join(' ')}; saw ${renderSightings(seen)}` : undefined
}
