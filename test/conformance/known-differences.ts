/**
 * Where a mode of ours answers a packet otherwise than kube-proxy's mode of the same name, on purpose or because the
 * mode cannot do it. The kernel runner judges such a flow by `instead`; an entry that no flow needs fails the run, so
 * this list is exactly what docs/differences.md has to tell.
 */
import type { BackendName } from '../../src/backends/backend.ts'
import type { ConformanceFlow, Outcome } from './conformance-case.ts'

export interface KnownDifference {
  readonly modes: readonly BackendName[]
  /** Matched against the name of the case. */
  readonly cases: RegExp
  /** Matched against `flow.name`. */
  readonly flows: RegExp
  /** What happens with us; `undefined`: this flow is no part of the difference. */
  readonly instead: (flow: ConformanceFlow) => Outcome | undefined
  /** One sentence for users. */
  readonly reason: string
}

/** We do as kube-proxy's nftables mode does where its iptables mode does `iptables`. */
function asNftables(iptables: readonly Outcome['kind'][], nftables: Outcome['kind']) {
  return (flow: ConformanceFlow): Outcome | undefined => {
    const { iptables: theirs, nftables: ours } = flow.expectBy
    return theirs !== undefined && iptables.includes(theirs.kind) && ours?.kind === nftables
      ? ours
      : undefined
  }
}

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    modes: ['iptables'],
    cases: /./,
    flows: /NodePort/,
    instead: asNftables(['reject', 'drop'], 'none'),
    reason:
      'A NodePort without endpoints is refused on the addresses of --nodeport-addresses only, not on every address of the node.',
  },
  {
    modes: ['iptables'],
    cases: /./,
    flows: /^node to .* (LB|external) IP/,
    instead: asNftables(['none'], 'reject'),
    reason:
      'The node itself is refused at once at an external or load balancer address without endpoints, as everybody else is.',
  },
  {
    modes: ['iptables'],
    cases: /./,
    flows: /external IP/,
    instead: asNftables(['dnat'], 'drop'),
    reason:
      'Source ranges of a load balancer address cannot be passed by naming the same address as an external IP.',
  },
]
