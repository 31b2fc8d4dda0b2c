/**
 * The features of a service proxy, and the tests that prove each of them in each mode. From this data and the results
 * of a run `scripts/feature-table.ts` writes docs/features.md; a unit test holds the two together.
 */
import type { BackendName } from '../../src/backends/backend.ts'

export const MODES: readonly BackendName[] = ['iptables', 'ipvs', 'nftables']

/** A test by the file that declares it and its title as it stands there, placeholders included. */
export interface NamedTest {
  readonly file: string
  readonly title: string
  /** Part of the full name, where one declaration makes a test for each mode. */
  readonly within?: string
}

export interface Feature {
  /** Fixed; packet-flow cases name it (`features: [23]`), and are tests of it in every mode. */
  readonly number: number
  readonly area: Area
  readonly title: string
  /** Tests beside the packet-flow cases that prove it whatever the mode. */
  readonly everywhere: readonly NamedTest[]
  /** Tests that prove it in one mode. */
  readonly by: Partial<Readonly<Record<BackendName, readonly NamedTest[]>>>
  /** Why a mode has not got it: then nothing is proved there. */
  readonly cannot: Partial<Readonly<Record<BackendName, string>>>
}

export type Area =
  'Services and endpoints' | 'Addresses and policies' | 'Connections' | 'Kernel' | 'Host' | 'Operation'

/** How one case of the packet-flow suite is called where each mode is tested. */
export const PACKET_TESTS: Readonly<Record<BackendName, readonly string[]>> = {
  iptables: ['packets in iptables (legacy) mode', 'packets in iptables (nft) mode'],
  ipvs: ['packets in ipvs mode'],
  nftables: ['packets in nftables mode'],
}
