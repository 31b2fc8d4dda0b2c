/**
 * What the running proxy knows, as one value: the input of everything that `explain`, `dump` and `diff` say. Pure code
 * makes rows and texts of it, so that an answer can be tested without a proxy.
 */
import type { Conflict } from '../forwarding/conflict.ts'
import type { Forwarding } from '../forwarding/forwarding.ts'
import type { PodDetector } from '../forwarding/route-packet.ts'
import type { FamilySnapshot } from '../model/cluster-snapshot.ts'
import type { NodeView } from '../model/node-view.ts'
import type { Rejected } from '../model/rejected.ts'
import type { ServicePortKey } from '../model/service-port.ts'
import type { KernelObject, KernelState } from '../netfilter/kernel-state.ts'
import type { Family } from '../net/ip.ts'

export interface FamilyProxyView {
  readonly family: Family
  readonly cluster: FamilySnapshot
  /** The decision that was programmed last; `undefined` before the first. */
  readonly forwarding: Forwarding | undefined
  readonly detector: PodDetector | undefined
  /** What we believe is in the kernel; `undefined` while we would have to look. */
  readonly believed: KernelState<KernelObject> | undefined
  readonly conflicts: readonly Conflict[]
  /** Service ports that the kernel refuses, with its reason. */
  readonly refused: ReadonlyMap<ServicePortKey, string>
}

export interface ProxyView {
  readonly node: NodeView
  readonly mode: string
  readonly families: readonly FamilyProxyView[]
  readonly rejections: readonly Rejected[]
  /** Why all this may be out of date, a sentence each. */
  readonly remarks: readonly string[]
}
