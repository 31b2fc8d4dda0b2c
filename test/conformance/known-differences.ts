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
    const { iptables: theirs = flow.expect, nftables: ours } = flow.expectBy
    return theirs !== undefined && iptables.includes(theirs.kind) && ours?.kind === nftables
      ? ours
      : undefined
  }
}

/** We do as kube-proxy's iptables mode does on the node's own 127.0.0.1. */
function asIptables(flow: ConformanceFlow): Outcome | undefined {
  return flow.expectBy.nftables?.kind === 'none' ? flow.expectBy.iptables : undefined
}

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    modes: ['nftables'],
    cases: /./,
    flows: /^localhost to /,
    instead: asIptables,
    reason:
      'NodePorts answer on 127.0.0.1 when --iptables-localhost-nodeports asks for it, in this mode too.',
  },
  {
    modes: ['ipvs'],
    cases: /./,
    flows: /^localhost to /,
    instead: asNftables(['dnat', 'reject', 'drop'], 'none'),
    reason: 'NodePorts do not answer on 127.0.0.1 in this mode.',
  },
  {
    modes: ['ipvs'],
    cases: /./,
    flows: /port 9 which is not|UDP on TCP-only|TCP-only port|does not accept/,
    instead: asNftables(['none'], 'reject'),
    reason:
      'A port of a cluster IP that is no service port is refused: the address is one of the node in this mode.',
  },
  {
    modes: ['ipvs'],
    cases: /port range/,
    flows: /^beyond, load balancer/,
    instead: () => ({ kind: 'reject' }),
    reason:
      'A port of an external or load balancer address that is no service port is refused, for the same reason.',
  },
  {
    modes: ['ipvs'],
    cases: /./,
    flows:
      /former .* cluster IP|unallocated|address nobody has|of type ExternalName|another proxy took it over/,
    instead: asNftables(['none'], 'drop'),
    reason: 'Addresses of the Service networks that no Service has are dropped.',
  },
  {
    modes: ['iptables', 'ipvs'],
    cases: /./,
    flows: /NodePort/,
    instead: asNftables(['reject', 'drop'], 'none'),
    reason:
      'A NodePort without endpoints is refused on the addresses of --nodeport-addresses only, not on every address of the node.',
  },
  {
    modes: ['iptables', 'ipvs'],
    cases: /./,
    flows: /^node to .* (LB|external) IP/,
    instead: asNftables(['none'], 'reject'),
    reason:
      'The node itself is refused at once at an external or load balancer address without endpoints, as everybody else is.',
  },
  {
    modes: ['iptables', 'ipvs'],
    cases: /./,
    flows: /external IP/,
    instead: asNftables(['dnat'], 'drop'),
    reason:
      'Source ranges of a load balancer address cannot be passed by naming the same address as an external IP.',
  },
]
