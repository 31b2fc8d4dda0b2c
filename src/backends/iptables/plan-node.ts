/** The parts that do not belong to any Service: entry chains, jumps to them, and the roots of the dispatch trees. */
import type { Forwarding, NodeForwarding } from '../../forwarding/forwarding.ts'
import type { Family, Ip } from '../../net/ip.ts'
import { type Chain, type Table, chain, sharedChain } from '../../netfilter/iptables/chain.ts'
import type { TreeNode } from '../../netfilter/iptables/dispatch-tree.ts'
import { loopback, markMask, masqueradeRules, matchDestination, rule } from '../../netfilter/iptables/rule.ts'
import { masqueradePorts } from '../../netfilter/masquerade-ports.ts'
import type { BackendOptions } from '../backend.ts'
import * as names from './names.ts'
import {
  type BackendObject,
  ROUTE_LOCALNET,
  type SetSupport,
  translatedName,
  translatedSet,
} from './objects.ts'
import { addressDigits, placeOf } from './places.ts'
import type { TreeName } from './plan-frontends.ts'

interface TreeShape {
  readonly table: Table
  /** In the names of its branches. */
  readonly letter: string
  /** Chain that holds the root's rules. */
  readonly root: string
  readonly label: string
  /** Looks at addresses first; else only at protocol and port. */
  readonly byAddress: boolean
  /** The tree that packets for an address of this node are looked up in afterwards. */
  readonly nodePorts?: TreeName
}

export const TREES: Readonly<Record<TreeName, TreeShape>> = {
  services: {
    table: 'nat',
    letter: 'S',
    root: names.SERVICES,
    label: 'services by address',
    byAddress: true,
    nodePorts: 'nodePorts',
  },
  nodePorts: { table: 'nat', letter: 'N', root: names.NODE_PORTS, label: 'node ports', byAddress: false },
  unanswered: {
    table: 'filter',
    letter: 'U',
    root: names.UNANSWERED,
    label: 'services without endpoints',
    byAddress: true,
    nodePorts: 'unansweredNodePorts',
  },
  unansweredNodePorts: {
    table: 'filter',
    letter: 'V',
    root: names.UNANSWERED_NODE_PORTS,
    label: 'node ports without endpoints',
    byAddress: false,
  },
  firewall: {
    table: 'filter',
    letter: 'W',
    root: names.PROXY_FIREWALL,
    label: 'source ranges',
    byAddress: true,
    nodePorts: 'firewallNodePorts',
  },
  firewallNodePorts: {
    table: 'filter',
    letter: 'X',
    root: names.FIREWALL_NODE_PORTS,
    label: 'source ranges of node ports',
    byAddress: false,
  },
  healthChecks: {
    table: 'filter',
    letter: 'H',
    root: names.NODE_PORTS,
    label: 'health check node ports',
    byAddress: false,
  },
}

export type Trees = Readonly<Record<TreeName, TreeNode>>

/** Chains that are the same whatever the cluster holds, and the rules in chains of others. */
export function planNode(
  node: NodeForwarding,
  options: BackendOptions,
  sets: SetSupport,
): readonly BackendObject[] {
  const mark = markMask(options.masqueradeMark)
  const hex = mark.slice(0, mark.indexOf('/'))
  const unanswered = [`-j ${names.UNANSWERED}`]
  const scoped = options.dropInvalid && sets === 'ipset'
  const objects: BackendObject[] = [
    ...(scoped ? [translatedSet(options.family)] : []),
    chain('filter', names.INVALID, {
      label: 'lost replies',
      rules: scoped ? invalidRules(node, options.family) : [],
    }),
    chain('nat', names.TRANSLATED, {
      label: 'endpoints in use',
      rules: scoped ? translatedRules(options.family) : [],
    }),
    chain('nat', names.MARK_MASQUERADE, { label: 'masquerade later', rules: [`-j MARK --or-mark ${hex}`] }),
    chain('nat', names.POSTROUTING, { label: 'marked packets', rules: postroutingRules(mark, options) }),
    chain('filter', names.SERVICES, { label: 'services without endpoints', rules: unanswered }),
    chain('filter', names.EXTERNAL_SERVICES, { label: 'services without endpoints', rules: unanswered }),
    chain('filter', names.FORWARD, {
      label: 'service traffic',
      rules: forwardRules(mark, options.dropInvalid && !scoped),
    }),
    chain('filter', names.REJECT, { label: 'refused', rules: REJECT_RULES }),
    sharedChain('filter', names.MARTIAN_FIREWALL),
    ...names.JUMPS,
  ]
  if (servesLocalhost(node, options.family)) objects.push(names.MARTIAN_GUARD, ROUTE_LOCALNET)
  return objects
}

export function servesLocalhost(node: NodeForwarding, family: Family): boolean {
  return node.localhostNodePorts && family === 'IPv4'
}

/** The mark is cleared before masquerading: it would travel on to an encapsulating packet, which is masqueraded too. */
function postroutingRules(mark: string, { nodePortRange }: BackendOptions): readonly string[] {
  return [
    `-m conntrack --ctstate DNAT -j ${names.TRANSLATED}`,
    `-m mark ! --mark ${mark} -j RETURN`,
    `-j MARK --xor-mark ${mark.slice(0, mark.indexOf('/'))}`,
    ...masqueradeRules(masqueradePorts(nodePortRange)),
  ]
}

/**
 * A reply that connection tracking calls INVALID is not translated back: it would reach the client from an address that
 * it never spoke to, and be answered by a reset. Such a packet belongs to no connection any more, so it is known only
 * by where it comes from; what else is INVALID (asymmetric routes, direct server return) is none of our business.
 */
function invalidRules(node: NodeForwarding, family: Family): readonly string[] {
  const toServices = node.serviceCidrs.map((cidr) => `-d ${cidr} -j DROP`)
  return [`-m set --match-set ${translatedName(family)} src,src -j DROP`, ...toServices]
}

function translatedRules(family: Family): readonly string[] {
  return [`-j SET --add-set ${translatedName(family)} dst,dst --exist`]
}

/** An open connection takes ICMP for a passing trouble; only a reset tells its client that nobody is left. */
const REJECT_RULES = [
  '-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j REJECT --reject-with tcp-reset',
  '-j REJECT',
]

/** `dropsInvalid`: all of them, as kube-proxy does, where there are no sets to tell them apart. */
function forwardRules(mark: string, dropsInvalid: boolean): readonly string[] {
  const accepts = [`-m mark --mark ${mark} -j ACCEPT`, '-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT']
  return dropsInvalid ? ['-m conntrack --ctstate INVALID -j DROP', ...accepts] : accepts
}

/** The chain that packets enter a tree by. */
export function rootChain(name: TreeName, trees: Trees, forwarding: Forwarding): Chain {
  const { table, root, label, nodePorts } = TREES[name]
  const rules = [...nodeRules(name, trees[name], { isRoot: true, family: forwarding.family })]
  if (nodePorts !== undefined && (trees[nodePorts].size > 0 || name === 'services'))
    rules.push(...nodePortRules(forwarding, TREES[nodePorts].root))
  return chain(table, root, { label, rules })
}

/** The chain of a place in a tree, below the root. */
export function treeNodeChain(name: TreeName, node: TreeNode, family: Family): Chain {
  const { table, label } = TREES[name]
  const { words } = placeOf(node.prefix, digitsOf(name, family))
  return chain(table, chainOf(name, node, family), {
    label: `${label} ${words}`,
    rules: nodeRules(name, node, { isRoot: false, family }),
  })
}

export function chainOf(name: TreeName, node: TreeNode, family: Family): string {
  return names.treeChain(TREES[name].letter, placeOf(node.prefix, digitsOf(name, family)).words)
}

function digitsOf(name: TreeName, family: Family): number {
  return TREES[name].byAddress ? addressDigits(family) : 0
}

function nodeRules(
  name: TreeName,
  node: TreeNode,
  { isRoot, family }: { isRoot: boolean; family: Family },
): readonly string[] {
  const own = node.entries.flatMap(({ rules }) => rules)
  if (node.kind === 'leaf') return own
  // Packets come back to the root, which goes on with node ports. In filter they come back to every branch, so that
  // a script may for a moment leave old rules beside new ones.
  const verb = isRoot || TREES[name].table === 'filter' ? '-j' : '-g'
  const children = [...node.children.values()].map((child) => {
    const { match } = placeOf(child.prefix, digitsOf(name, family))
    return rule(match, `${verb} ${chainOf(name, child, family)}`)
  })
  return [...own, ...children]
}

function nodePortRules({ node, family }: Forwarding, target: string): readonly string[] {
  const { nodePorts } = node
  if (nodePorts.scope === 'all') {
    const except = servesLocalhost(node, family) ? undefined : `! -d ${loopback(family)}`
    return [rule(except, '-m addrtype --dst-type LOCAL', `-j ${target}`)]
  }
  const listed = nodePorts.ips.filter((ip) => !isLoopback(ip)).map((ip) => matchDestination(ip))
  const localhost = servesLocalhost(node, family) ? [`-d ${loopback(family)}`] : []
  return [...listed, ...localhost].map((match) => `${match} -j ${target}`)
}

function isLoopback(ip: Ip): boolean {
  return ip === '::1' || ip.startsWith('127.')
}
