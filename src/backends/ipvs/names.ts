/**
 * Every name that this backend shows to the kernel, and how it recognises what is its own.
 *
 * Sets, chains and jumps that kube-proxy's IPVS mode has keep its names (Kube-OVN matches on the sets, Calico looks for
 * the device); what it does not have starts with `FL-`. Virtual servers carry no mark of an owner: README.md, "What is
 * ours".
 */
import { createHash } from 'node:crypto'
import type { Origin } from '../../forwarding/forwarding.ts'
import type { Family, Ip } from '../../net/ip.ts'
import { type SharedRule, type Table, sharedRule } from '../../netfilter/iptables/chain.ts'
import { type IpSet, type SetType, MAX_SET_NAME, ipSet } from '../../netfilter/ipset/ipset.ts'

export const DEVICE = 'kube-ipvs0'
/**
 * Held by the device while addresses of a former kube-proxy are taken off it: with its last IPv4 address a device loses
 * all its routes. Nothing can reach a loopback address on a device that never sends.
 */
export const KEEPER = '127.255.255.254' as Ip

const SETS = {
  'KUBE-CLUSTER-IP': 'hash:ip,port',
  'KUBE-EXTERNAL-IP': 'hash:ip,port',
  'KUBE-EXTERNAL-IP-LOCAL': 'hash:ip,port',
  'KUBE-LOAD-BALANCER': 'hash:ip,port',
  'KUBE-LOAD-BALANCER-LOCAL': 'hash:ip,port',
  'KUBE-LOAD-BALANCER-FW': 'hash:ip,port',
  'KUBE-LOAD-BALANCER-SOURCE-CIDR': 'hash:ip,port,net',
  'KUBE-LOAD-BALANCER-SOURCE-IP': 'hash:ip,port,ip',
  'KUBE-LOOP-BACK': 'hash:ip,port,ip',
  'KUBE-NODE-PORT-TCP': 'bitmap:port',
  'KUBE-NODE-PORT-UDP': 'bitmap:port',
  'KUBE-NODE-PORT-SCTP-HASH': 'hash:ip,port',
  'KUBE-NODE-PORT-LOCAL-TCP': 'bitmap:port',
  'KUBE-NODE-PORT-LOCAL-UDP': 'bitmap:port',
  'KUBE-NODE-PORT-LOCAL-SCTP-HASH': 'hash:ip,port',
  'KUBE-HEALTH-CHECK-NODE-PORT': 'bitmap:port',
  'KUBE-IPVS-IPS': 'hash:ip',
  /** Addresses of this node that NodePorts answer on. */
  'FL-NODE-IPS': 'hash:ip',
  /** What is masqueraded, dropped, or sent to another virtual server than its address says, by who sent it. */
  'FL-MASQ-POD': 'hash:ip,port',
  'FL-MASQ-NODE': 'hash:ip,port',
  'FL-MASQ-EXTERNAL': 'hash:ip,port',
  'FL-DROP-POD': 'hash:ip,port',
  'FL-DROP-NODE': 'hash:ip,port',
  'FL-DROP-EXTERNAL': 'hash:ip,port',
  'FL-MARK-POD': 'hash:ip,port',
  'FL-MARK-NODE': 'hash:ip,port',
  'FL-MARK-EXTERNAL': 'hash:ip,port',
} as const satisfies Readonly<Record<string, SetType>>

export type SetName = keyof typeof SETS

/** `KUBE-6-…` and cut to 31 characters, as kube-proxy does; sets of both families share one name space. */
export function setNameFor(name: SetName, family: Family): string {
  if (family === 'IPv4') return name
  return name.replace(/^(KUBE|FL)-/, '$1-6-').slice(0, MAX_SET_NAME)
}

/** Every set of one family, in the order in which they are made. */
export function allSets(family: Family): readonly IpSet[] {
  return (Object.keys(SETS) as SetName[]).map((name) =>
    ipSet(setNameFor(name, family), SETS[name], { family, hasMarks: name.startsWith('FL-MARK-') }),
  )
}

const ORIGIN_WORDS = { pod: 'POD', node: 'NODE', external: 'EXTERNAL' } as const satisfies Record<
  Origin,
  string
>

export function originSet(purpose: 'MASQ' | 'DROP' | 'MARK', origin: Origin): SetName {
  return `FL-${purpose}-${ORIGIN_WORDS[origin]}`
}

/** Chains of kube-proxy's that keep their names. */
export const SERVICES = 'KUBE-SERVICES'
export const POSTROUTING = 'KUBE-POSTROUTING'
export const MARK_MASQUERADE = 'KUBE-MARK-MASQ'
export const FORWARD = 'KUBE-FORWARD'
export const NODE_PORT = 'KUBE-NODE-PORT'
export const IPVS_FILTER = 'KUBE-IPVS-FILTER'
export const IPVS_OUT_FILTER = 'KUBE-IPVS-OUT-FILTER'

export const MASQUERADE = 'FL-MASQ'
export const GUARD = 'FL-GUARD'
export const SOURCES = 'FL-SOURCES'
export const UNMARK = 'FL-UNMARK'
export const RANGES = 'FL-RANGES'
export const SELF = 'FL-SELF'

export function originChain(stem: 'FL-MASQ' | 'FL-GUARD' | 'FL-RANGES', origin: Origin): string {
  return `${stem}-${ORIGIN_WORDS[origin]}`
}

/** Who may connect to one port range. */
export function sourcesChain(frontend: string): string {
  const digest = createHash('sha256').update(frontend).digest('hex').slice(0, 16).toUpperCase()
  return `FL-SOURCES-${digest}`
}

const NEW = '-m conntrack --ctstate NEW '
const jump = (table: Table, chain: string, match: string, to: { comment: string; target: string }) =>
  sharedRule(table, chain, `${match}-m comment --comment "${to.comment}" -j ${to.target}`)

const portals = { comment: 'kubernetes service portals', target: SERVICES }
const access = 'kubernetes ipvs access filter'
const guard = { comment: 'who may reach which virtual server', target: GUARD }

/** With the comments that kube-proxy's IPVS mode writes. */
export const JUMPS: readonly SharedRule[] = [
  jump('filter', 'INPUT', '', { comment: 'kubernetes health check rules', target: NODE_PORT }),
  jump('filter', 'INPUT', '', { comment: access, target: IPVS_FILTER }),
  jump('filter', 'FORWARD', '', { comment: 'kubernetes forwarding rules', target: FORWARD }),
  jump('filter', 'OUTPUT', '', { comment: access, target: IPVS_OUT_FILTER }),
  jump('nat', 'PREROUTING', '', portals),
  jump('nat', 'OUTPUT', '', portals),
  jump('nat', 'POSTROUTING', '', { comment: 'kubernetes postrouting rules', target: POSTROUTING }),
  jump('mangle', 'INPUT', NEW, guard),
  jump('mangle', 'OUTPUT', NEW, guard),
  jump('mangle', 'POSTROUTING', NEW, { comment: 'marks end here', target: UNMARK }),
]

const ENTRY_CHAINS: Readonly<Record<Table, ReadonlySet<string>>> = {
  filter: new Set([
    FORWARD,
    NODE_PORT,
    IPVS_FILTER,
    IPVS_OUT_FILTER,
    'KUBE-PROXY-FIREWALL',
    'KUBE-SOURCE-RANGES-FIREWALL',
  ]),
  nat: new Set([SERVICES, POSTROUTING, MARK_MASQUERADE, NODE_PORT, 'KUBE-LOAD-BALANCER']),
  mangle: new Set(),
}

/** Chains whose whole content is ours to write and to remove: a former kube-proxy's as well. */
export function isOurChain(table: Table, chain: string): boolean {
  return ENTRY_CHAINS[table].has(chain) || chain.startsWith('FL-')
}

/**
 * Marks that select a virtual server: `0x6` and 26 bits that are neither the masquerade bit nor bit 15, which others
 * use. They replace the whole mark of a packet between mangle INPUT (or OUTPUT) and mangle POSTROUTING. Bit 31 stays
 * clear, because ipvsadm prints marks with a sign.
 */
export const MARK_PREFIX = 0x60000000
export const MARK_PREFIX_MASK = 0xf0000000

/** `attempt` counts up when the mark is taken; the result never has the bits of `reserved`. */
export function serverMark(name: string, attempt: number, reserved: number): number {
  const digest = createHash('sha256').update(`${name}#${attempt}`).digest()
  const free = ~(MARK_PREFIX_MASK | reserved | 0x8000)
  return (MARK_PREFIX | (digest.readUInt32BE(0) & free)) >>> 0
}
