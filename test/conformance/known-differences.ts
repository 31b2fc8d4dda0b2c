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

export const KNOWN_DIFFERENCES: readonly KnownDifference[] = []
