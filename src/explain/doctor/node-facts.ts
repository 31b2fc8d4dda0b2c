/** What the doctor knows of a node: gathered by programs and files, judged by pure checks. */
import type { BackendName } from '../../backends/backend.ts'
import type { DetectLocalMode } from '../../config/config.ts'

export interface LinkFact {
  readonly name: string
  /** `bridge`, `veth`, `ipvlan`, `macvlan`, `vxlan` …; empty for real devices. */
  readonly kind: string
  /** Name of the bridge or VRF it belongs to. */
  readonly master: string | undefined
  /** A bridge port that sends back what came in by it. */
  readonly hairpin: boolean
  readonly promiscuous: boolean
  readonly up: boolean
  /** Bytes; 0 where it is not known. */
  readonly mtu: number
  /** The device that it is built on, as a VLAN or a tunnel may be. */
  readonly lower: string | undefined
  /** A tunnel over UDP: whether the outer packet has a checksum. */
  readonly outerChecksum: boolean | undefined
}

export interface IpRuleFact {
  readonly priority: number
  readonly mark: number
  readonly mask: number
}

export interface ApiFacts {
  /** Why it could not be asked; `undefined`: it answered. */
  readonly unreachable: string | undefined
  /** How far our clock is ahead of the server's, in milliseconds. */
  readonly clockAheadMs: number | undefined
  /** What we may not do, as in `list services`. */
  readonly forbidden: readonly string[]
}

export type IptablesVariantName = 'nft' | 'legacy'

export interface NodeFacts {
  /** What the proxy is, or would be, configured to. */
  readonly settings: {
    readonly mode: BackendName
    readonly iptablesVariant: 'auto' | IptablesVariantName
    readonly masqueradeBit: number
    readonly detectLocal: {
      readonly mode: DetectLocalMode
      readonly clusterCidrs: readonly string[]
      readonly bridgeInterface: string
      readonly interfaceNamePrefixes: readonly string[]
    }
    /** NodePorts are asked for on 127.0.0.0/8. */
    readonly localhostNodePorts: boolean
  }
  readonly nowMs: number
  /** Effective capabilities, as in `NET_ADMIN`, of those that matter. */
  readonly capabilities: ReadonlySet<string>
  /** First line of `--version` by program; programs that are missing are not there. */
  readonly tools: ReadonlyMap<string, string>
  readonly kernelRelease: string
  /** Whether the kernel answers `nft`, `ipset`, `ipvs`; the tool's complaint if not. */
  readonly features: ReadonlyMap<string, string | undefined>
  /** By path below `/proc/sys`; what the kernel does not have is not there. */
  readonly sysctls: ReadonlyMap<string, string>
  readonly links: readonly LinkFact[]
  /** Tunnels over UDP that leave checksums to the network card, or do not; what ethtool does not tell is not there. */
  readonly checksumOffload: ReadonlyMap<string, boolean>
  /** The device of the default route. */
  readonly underlay: string | undefined
  readonly ipRules: readonly IpRuleFact[]
  /** What `iptables-save` prints, by variant; empty for a variant without tables. */
  readonly iptables: Readonly<Record<IptablesVariantName, string>>
  /** `family name` of every nftables table. */
  readonly nftTables: readonly string[]
  /** Names of processes. */
  readonly processes: readonly string[]
  /** `undefined`: nobody asked for it. */
  readonly api: ApiFacts | undefined
}

export interface Finding {
  readonly check: string
  readonly level: 'ok' | 'warning' | 'error'
  /** What was found; one line. */
  readonly what: string
  /** What to do about it; empty when nothing is to be done. */
  readonly remedy: string
}

/** One question about a node. Several findings where several things can be wrong at once; never none. */
export interface Check {
  readonly name: string
  run(facts: NodeFacts): readonly Judgement[]
}

export type Judgement = Omit<Finding, 'check'>

export function ok(what: string): readonly Judgement[] {
  return [{ level: 'ok', what, remedy: '' }]
}

export function warning(what: string, remedy: string): Judgement {
  return { level: 'warning', what, remedy }
}

export function error(what: string, remedy: string): Judgement {
  return { level: 'error', what, remedy }
}
