/**
 * The answer of `fairlead explain` as plain data: for programs as it is, for people through explanation-text.ts.
 * Everything in it is text, a number or a list, so that it travels as JSON unchanged.
 */
import type { RowName } from '../forwarding/decision-table.ts'
import type { FrontendKind, Origin } from '../forwarding/forwarding.ts'
import type { ServicePortKey } from '../model/service-port.ts'
import type { Family } from '../net/ip.ts'
import type { Protocol } from '../net/protocol.ts'

export interface Explanation {
  readonly subject: string
  readonly node: string
  readonly mode: string
  /** Why what follows may be out of date. */
  readonly remarks: readonly string[]
  readonly ports: readonly ExplainedPort[]
  /** Why there is no port to explain; empty where there is one. */
  readonly nothing: readonly string[]
}

export interface ExplainedPort {
  readonly servicePort: ServicePortKey
  readonly family: Family
  readonly protocol: Protocol
  /** Nothing of it is programmed yet. */
  readonly programmed: boolean
  readonly frontends: readonly ExplainedFrontend[]
  readonly endpoints: readonly ExplainedRow[]
  readonly kernelObjects: readonly ExplainedObject[]
  /** What the Service asked for and does not get. */
  readonly problems: readonly string[]
  /** `undefined`: connection tracking was not asked, or did not answer. */
  readonly connections?: OpenConnections | undefined
}

export interface ExplainedFrontend {
  readonly kind: FrontendKind
  readonly address: string
  readonly row: RowName
  /** Answers by sender, in few words. */
  readonly routes: Readonly<Record<Origin, string>>
  readonly sourceRanges: readonly string[]
  /** Set when a sender was named: what becomes of its connection, and how that came about. */
  readonly sender?:
    | {
        readonly ip: string
        readonly origin: Origin
        readonly result: string
        readonly trace: readonly string[]
      }
    | undefined
}

export interface ExplainedRow {
  readonly address: string
  readonly node: string
  readonly state: string
  readonly weight: number
  readonly clusterPool: string
  readonly localPool: string
}

export interface ExplainedObject {
  readonly kind: string
  readonly key: string
  readonly lines: readonly string[]
  /** Whether the kernel has it as planned; `not checked` where it was not read. */
  readonly inKernel: 'as planned' | 'differs' | 'missing' | 'not checked'
  /** Packets that each line has matched since it was written; absent where the kernel does not count them. */
  readonly packets?: readonly number[]
}

export interface OpenConnections {
  readonly total: number
  /** No packet has come back yet. */
  readonly unanswered: number
  /** Number by the frontend's address, as it is written in `frontends`. */
  readonly byFrontend: Readonly<Record<string, number>>
  /** Number by `ip:port` of who answers. */
  readonly byEndpoint: Readonly<Record<string, number>>
}
