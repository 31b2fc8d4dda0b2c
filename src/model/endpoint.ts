import type { Ip } from '../net/ip.ts'
import type { Port } from '../net/protocol.ts'

/** One address and port behind a service port, as its EndpointSlices say it. */
export interface Endpoint {
  readonly ip: Ip
  readonly port: Port
  /** `undefined` when the slice names no node: then the endpoint is remote for everybody. */
  readonly nodeName: string | undefined
  readonly ready: boolean
  readonly serving: boolean
  readonly terminating: boolean
  /** `hints.forZones`; empty: no hint. */
  readonly zoneHints: readonly string[]
  /** `hints.forNodes`; empty: no hint. */
  readonly nodeHints: readonly string[]
  /** Share of new connections relative to its peers, an integer of at least 1; 100 is the usual weight. */
  readonly weight: number
}
