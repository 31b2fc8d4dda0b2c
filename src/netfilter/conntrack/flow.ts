import type { Family, Ip } from '../../net/ip.ts'
import type { Port, Protocol } from '../../net/protocol.ts'

/** One tracked connection, as far as a service proxy must know it. */
export interface Flow {
  readonly family: Family
  readonly protocol: Protocol
  readonly source: Ip
  readonly sourcePort: Port
  /** Where the client sent it. */
  readonly destination: Ip
  readonly destinationPort: Port
  /** Who answers (after DNAT): for an untranslated flow the destination itself. */
  readonly replySource: Ip
  readonly replySourcePort: Port
  /** No packet has come back yet. */
  readonly unreplied: boolean
  /** Both sides have ended it; the kernel remembers it for a while. */
  readonly ended?: true
}
