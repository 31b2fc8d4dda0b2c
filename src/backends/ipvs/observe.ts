/** What of ours is in the kernel, from the texts of four tools. Pure; which of it is ours is README.md's "What is ours". */
import type { Sliced } from '../../collections/sliced.ts'
import { type Chain, type SharedRule, sharedRule } from '../../netfilter/iptables/chain.ts'
import { parseSave, targetOf } from '../../netfilter/iptables/parse-save.ts'
import { type IpSet, type SetElement, markOf } from '../../netfilter/ipset/ipset.ts'
import { parseSets } from '../../netfilter/ipset/parse-save.ts'
import type { BoundAddress, LocalRoute } from '../../netfilter/ipvs/local-route.ts'
import { type IpvsServer, readSelector, selectorFamily } from '../../netfilter/ipvs/virtual-server.ts'
import type { Family, Ip } from '../../net/ip.ts'
import {
  JUMPS as IPTABLES_JUMPS,
  MARTIAN_FIREWALL,
  isLeftover,
  isOurs as isIptablesModes,
} from '../iptables/names.ts'
import { isSameRule } from '../iptables/observe.ts'
import { JUMPS, type SetName, allSets, isOurChain, setNameFor } from './names.ts'

/**
 * Sets of ours and their elements. A set of another shape (a former kube-proxy's hold fewer elements) is told without
 * its elements, so that it is filled anew and replaced.
 */
export function observedSets(text: string, family: Family): readonly (IpSet | SetElement)[] {
  const shapes = new Map(allSets(family).map(({ name, text: shape }) => [name, shape]))
  const found = parseSets(text, (name) => shapes.has(name))
  const foreign = new Set(
    found.flatMap((object) =>
      object.kind === 'set' && shapes.get(object.name) !== object.text ? [object.name] : [],
    ),
  )
  return found.filter((object) => object.kind === 'set' || !foreign.has(object.set))
}

/** Elements whatever the shape of their set: as a record they all count. */
export function recordedElements(text: string, family: Family): readonly SetElement[] {
  const names = new Set(allSets(family).map(({ name }) => name))
  return parseSets(text, (name) => names.has(name)).filter((object) => object.kind === 'element')
}

/**
 * Chains of ours, and those of the iptables mode and of a former kube-proxy with the jumps to them, so that they go
 * when this mode takes over. A chain that somebody else's rule leads to cannot be deleted; it stays until that goes.
 */
export function* observedRules(text: string): Sliced<readonly (Chain | SharedRule)[]> {
  const chains = yield* parseSave(text, (name) => !name.startsWith('FL-'))
  const jumps = chains.flatMap(({ table, name, rules }) =>
    rules.flatMap((rule) => KNOWN_JUMPS.find((jump) => isJump(jump, { table, chain: name, rule })) ?? []),
  )
  const inUse = new Set(
    chains.flatMap(({ table, name, rules }) =>
      isPredecessors(table, name) || isOurChain(table, name)
        ? []
        : rules
            .filter((rule) => !KNOWN_JUMPS.some((jump) => isJump(jump, { table, chain: name, rule })))
            .map((rule) => `${table}/${targetOf(rule) ?? ''}`),
    ),
  )
  const found = chains.flatMap(({ table, name, text: content }): Chain[] => {
    const key = `${table}/${name}`
    const isGoing = isPredecessors(table, name) && !inUse.has(key)
    if (!isOurChain(table, name) && !isGoing) return []
    return [{ kind: 'chain', key, text: content, table, name, rules: undefined }]
  })
  return [...found, ...jumps]
}

/** A jump from a built-in chain that only a service proxy writes. */
const KNOWN_JUMPS: readonly SharedRule[] = [
  ...JUMPS,
  ...IPTABLES_JUMPS.filter(({ rule, key }) => !rule.endsWith(`-j ${MARTIAN_FIREWALL}`) && !isOwnJump(key)),
  ...['INPUT', 'FORWARD'].map((name) =>
    sharedRule('filter', name, '-m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL'),
  ),
]

function isOwnJump(key: string): boolean {
  return JUMPS.some((jump) => jump.key === key)
}

function isJump(jump: SharedRule, at: { table: string; chain: string; rule: string }): boolean {
  return jump.table === at.table && jump.chain === at.chain && isSameRule(jump.rule, at.rule)
}

function isPredecessors(table: Chain['table'], name: string): boolean {
  return isIptablesModes(table, name) || isLeftover(table, name)
}

export interface OwnershipRecord {
  readonly family: Family
  readonly elements: readonly SetElement[]
  readonly routes: readonly (LocalRoute | BoundAddress)[]
  /** Addresses of the node's interfaces other than the dummy device. */
  readonly nodeIps: ReadonlySet<Ip>
  /** Selectors of the last plan; empty for a process that has just started. */
  readonly planned: ReadonlySet<string>
}

/** Decides for a selector whether its virtual server is ours. */
export function ownership(record: OwnershipRecord): (selector: string) => boolean {
  const { family } = record
  const inSets = (...names: readonly SetName[]) => {
    const wanted = new Set(names.map((name) => setNameFor(name, family)))
    return record.elements.filter(({ set }) => wanted.has(set)).map(({ element }) => element)
  }
  const places = new Set(
    inSets(
      'KUBE-CLUSTER-IP',
      'KUBE-EXTERNAL-IP',
      'KUBE-EXTERNAL-IP-LOCAL',
      'KUBE-LOAD-BALANCER',
      'KUBE-NODE-PORT-SCTP-HASH',
    ),
  )
  const addresses = new Set<string>([...inSets('KUBE-IPVS-IPS'), ...record.routes.map(({ ip }) => ip)])
  const nodePorts = {
    TCP: new Set(inSets('KUBE-NODE-PORT-TCP')),
    UDP: new Set(inSets('KUBE-NODE-PORT-UDP')),
    SCTP: new Set<string>(),
  }
  const nodeIps = new Set<string>([...inSets('FL-NODE-IPS'), ...record.nodeIps])
  const marks = new Set(record.elements.flatMap(({ text }) => markOf(text) ?? []))
  return (selector) => {
    if (selectorFamily(selector) !== family) return false
    const where = readSelector(selector)
    if (where === undefined) return false
    if ('mark' in where) return marks.has(where.mark) || record.planned.has(selector)
    const { protocol, ip, port } = where
    if (places.has(`${ip},${protocol.toLowerCase()}:${port}`)) return true
    if (nodeIps.has(ip) && nodePorts[protocol].has(String(port))) return true
    return addresses.has(ip) || record.planned.has(selector)
  }
}

/** The servers of virtual servers that are ours. */
export function ownServers(
  servers: readonly IpvsServer[],
  isOurs: (selector: string) => boolean,
): readonly IpvsServer[] {
  const answers = new Map<string, boolean>()
  return servers.filter(({ selector }) => {
    const known = answers.get(selector) ?? isOurs(selector)
    answers.set(selector, known)
    return known
  })
}
