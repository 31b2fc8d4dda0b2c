/**
 * Every name that this backend shows to the kernel, and how it recognises what is its own.
 *
 * The chains that packets enter by, and the jumps to them, are kube-proxy's to the letter: Kube-OVN, Antrea, Calico,
 * Azure NPM and others look for them (they insert before them, or wait for them). What lies behind starts with `FL-`.
 */
import { createHash } from 'node:crypto'
import { type SharedRule, type Table, MAX_CHAIN_NAME, sharedRule } from '../../netfilter/iptables/chain.ts'

export const SERVICES = 'KUBE-SERVICES'
export const EXTERNAL_SERVICES = 'KUBE-EXTERNAL-SERVICES'
export const NODE_PORTS = 'KUBE-NODEPORTS'
export const POSTROUTING = 'KUBE-POSTROUTING'
export const MARK_MASQUERADE = 'KUBE-MARK-MASQ'
export const FORWARD = 'KUBE-FORWARD'
export const PROXY_FIREWALL = 'KUBE-PROXY-FIREWALL'
/** Shared with kubelet: never emptied, never removed. */
export const MARTIAN_FIREWALL = 'KUBE-FIREWALL'
/** kube-proxy's flush detector, one in each table. */
export const KUBE_PROXY_CANARY = 'KUBE-PROXY-CANARY'

/** Replies that connection tracking cannot translate back. */
export const INVALID = 'FL-INVALID'
/** Remembers where connections were translated to. */
export const TRANSLATED = 'FL-TRANSLATED'
export const UNANSWERED = 'FL-UNANSWERED'
/** Where a refusal ends. */
export const REJECT = 'FL-REJECT'
export const UNANSWERED_NODE_PORTS = 'FL-UNANSWERED-NODEPORTS'
export const FIREWALL_NODE_PORTS = 'FL-FIREWALL-NODEPORTS'

const NEW = '-m conntrack --ctstate NEW '
const jump = (table: Table, chain: string, match: string, to: { comment: string; target: string }) =>
  sharedRule(table, chain, `${match}-m comment --comment "${to.comment}" -j ${to.target}`)

const portals = { comment: 'kubernetes service portals', target: SERVICES }
const external = { comment: 'kubernetes externally-visible service portals', target: EXTERNAL_SERVICES }
const firewall = { comment: 'kubernetes load balancer firewall', target: PROXY_FIREWALL }
const healthChecks = { comment: 'kubernetes health check service ports', target: NODE_PORTS }
const forwarding = { comment: 'kubernetes forwarding rules', target: FORWARD }
const invalid = { comment: 'replies of services that cannot be translated back', target: INVALID }
const translated = { comment: 'where services are translated to', target: TRANSLATED }
const UNTRACKED = '-m conntrack --ctstate INVALID '
const postrouting = { comment: 'kubernetes postrouting rules', target: POSTROUTING }

/** Top down, as a node has them after kube-proxy's first start; those to `FL-` chains are additions. */
export const JUMPS: readonly SharedRule[] = [
  sharedRule('filter', 'INPUT', `-j ${MARTIAN_FIREWALL}`),
  jump('filter', 'INPUT', UNTRACKED, invalid),
  jump('filter', 'INPUT', NEW, firewall),
  jump('filter', 'INPUT', '', healthChecks),
  jump('filter', 'INPUT', NEW, external),
  jump('filter', 'FORWARD', UNTRACKED, invalid),
  jump('filter', 'FORWARD', NEW, firewall),
  jump('filter', 'FORWARD', '', forwarding),
  jump('filter', 'FORWARD', NEW, portals),
  jump('filter', 'FORWARD', NEW, external),
  sharedRule('filter', 'OUTPUT', `-j ${MARTIAN_FIREWALL}`),
  jump('filter', 'OUTPUT', UNTRACKED, invalid),
  jump('filter', 'OUTPUT', NEW, firewall),
  jump('filter', 'OUTPUT', NEW, portals),
  jump('nat', 'PREROUTING', '', portals),
  jump('nat', 'OUTPUT', '', portals),
  // Connections to an endpoint in the host's network end in INPUT, all others pass POSTROUTING.
  jump('nat', 'INPUT', '-m conntrack --ctstate DNAT ', translated),
  jump('nat', 'POSTROUTING', '', postrouting),
]

/**
 * Kubelet writes the same rule (CVE-2020-8558): who is not on this host may not reach its loopback addresses, which
 * `route_localnet` would otherwise allow.
 */
export const MARTIAN_GUARD = sharedRule(
  'filter',
  MARTIAN_FIREWALL,
  '! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" ' +
    '-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP',
)

const ENTRY_CHAINS: Readonly<Record<Table, ReadonlySet<string>>> = {
  filter: new Set([SERVICES, EXTERNAL_SERVICES, NODE_PORTS, FORWARD, PROXY_FIREWALL]),
  nat: new Set([SERVICES, NODE_PORTS, POSTROUTING, MARK_MASQUERADE]),
  mangle: new Set(),
}
const OUR_PREFIX = 'FL-'
/** What IPVS modes have besides the chains of the same name. */
const IPVS_CHAINS: Readonly<Record<Table, ReadonlySet<string>>> = {
  filter: new Set([
    'KUBE-NODE-PORT',
    'KUBE-SOURCE-RANGES-FIREWALL',
    'KUBE-IPVS-FILTER',
    'KUBE-IPVS-OUT-FILTER',
  ]),
  nat: new Set(['KUBE-NODE-PORT', 'KUBE-LOAD-BALANCER']),
  mangle: new Set(),
}
const KUBE_PROXY_PREFIX = /^KUBE-(?:SVC|SVL|EXT|FW|SEP|XLB)-[A-Z2-7]{16}$/

/** Chains whose whole content is ours to write and to remove. */
export function isOurs(table: Table, chain: string): boolean {
  return ENTRY_CHAINS[table].has(chain) || chain.startsWith(OUR_PREFIX)
}

/** Chains that a kube-proxy or the IPVS mode left behind; they go once nothing of ours leads to them. */
export function isLeftover(table: Table, chain: string): boolean {
  if (chain === KUBE_PROXY_CANARY || IPVS_CHAINS[table].has(chain)) return true
  return table === 'nat' && KUBE_PROXY_PREFIX.test(chain)
}

/**
 * Kinds of chains below a service port: `C`luster and `L`ocal pools and single `E`ndpoints, with `P` where packets keep
 * their port; `A`llowed sources and the `R`outes behind them.
 */
export type ChainKind = 'C' | 'L' | 'CP' | 'LP' | 'E' | 'EP' | 'A' | 'R'

/**
 * `FL-C-` and 80 bits of SHA-256 in base32: long enough that nobody can make two of them collide by choosing names,
 * and 7 characters below the limit of iptables, for `suffix`.
 */
export function hashedChain(kind: ChainKind, parts: readonly string[], suffix = ''): string {
  return checked(`${OUR_PREFIX}${kind}-${hashOf(parts)}${suffix}`)
}

/** Sets share one name space over both families. At most 31 characters. */
export function hashedSet(prefix: string, parts: readonly string[]): string {
  return `${prefix}${hashOf(parts)}`
}

/** `FL-S-172.30.16.0-20`: a branch of the dispatch tree, in words where they fit, else hashed. */
export function treeChain(letter: string, place: string): string {
  const name = `${OUR_PREFIX}${letter}-${place}`
  return name.length <= MAX_CHAIN_NAME ? name : checked(`${OUR_PREFIX}${letter}-${hashOf([place])}`)
}

function checked(name: string): string {
  if (name.length > MAX_CHAIN_NAME) throw new Error(`Chain name too long: "${name}"`)
  return name
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** 16 digits of base32: 80 bits of SHA-256. */
export function hashOf(parts: readonly string[]): string {
  const bytes = createHash('sha256').update(parts.join('\0')).digest()
  let text = ''
  for (let bit = 0; bit < 80; bit += 5) {
    const pair = ((bytes[bit >> 3] ?? 0) << 8) | (bytes[(bit >> 3) + 1] ?? 0)
    text += BASE32.charAt((pair >> (11 - (bit & 7))) & 31)
  }
  return text
}

/** The hash in the first name that a line mentions. */
export function hashIn(line: string): string | undefined {
  return /\bFL-[A-Z0-9]+-([A-Z2-7]{16})/.exec(line)?.[1]
}
