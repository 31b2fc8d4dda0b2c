/** What `explain`, `dump` and `diff` are answered from: the running proxy, or a look at the cluster without one. */
import type { Backend } from '../backends/backend.ts'
import type { ProxyView } from '../explain/proxy-view.ts'
import type { Forwarding } from '../forwarding/forwarding.ts'
import type { Exec } from '../kernel/exec.ts'
import type { ClusterSnapshot } from '../model/cluster-snapshot.ts'
import type { KernelObject } from '../netfilter/kernel-state.ts'
import type { Family } from '../net/ip.ts'

export interface AnswerSource {
  view(): ProxyView
  /** `undefined`: the API server has not yet told everything. */
  snapshot(): ClusterSnapshot | undefined
  readonly families: readonly AnswerFamily[]
  /** Runs programs on the node that the answers are about; rejects where that is another machine. */
  readonly exec: Exec
}

export interface AnswerFamily {
  readonly family: Family
  /** What is to be in the kernel, less what the kernel refuses. */
  readonly decide: (snapshot: ClusterSnapshot) => Forwarding
  /** A backend for looking at the kernel alone. Throws `KernelError`. */
  readonly inspector: () => Promise<Backend<KernelObject>>
}
