/**
 * The answers of one service port's frontends as entries of the dispatch trees.
 *
 * A route per origin becomes at most a handful of rules behind one match of address, protocol and port. `nat` holds
 * the routes that forward; `filter` holds reject and drop, which are reached only by packets that `nat` left alone.
 */
import type { Frontend, PortForwarding } from '../../forwarding/forwarding.ts'
import type { Protocol } from '../../net/protocol.ts'
import { type Chain, type Table, chain } from '../../netfilter/iptables/chain.ts'
import type { Entry } from '../../netfilter/iptables/dispatch-tree.ts'
import { matchDestination, matchPort, matchSource, rule } from '../../netfilter/iptables/rule.ts'
import type { BackendOptions } from '../backend.ts'
import { hashedChain } from './names.ts'
import { hexPort, pathOf } from './places.ts'
import { type RouteContext, answerRules, forwardRules } from './plan-routes.ts'

/** The trees that packets are looked up in. */
export type TreeName =
  | 'services'
  | 'nodePorts'
  | 'unanswered'
  | 'unansweredNodePorts'
  | 'firewall'
  | 'firewallNodePorts'
  | 'healthChecks'

export type Entries = readonly (readonly [TreeName, Entry])[]

export interface FrontendPlan {
  readonly entries: Entries
  readonly chains: readonly Chain[]
}

export function planFrontends(port: PortForwarding, options: BackendOptions): FrontendPlan {
  const entries: (readonly [TreeName, Entry])[] = []
  const chains: Chain[] = []
  for (const frontend of port.frontends) {
    const planned = planFrontend({ port, detector: options.detector }, frontend)
    entries.push(...planned.entries)
    chains.push(...planned.chains)
  }
  const health = port.healthCheckNodePort
  if (health !== undefined) {
    const path = pathOf(undefined, 'TCP', { first: health, last: health })
    entries.push(['healthChecks', { path, id: path, rules: [`${matchPort('TCP', health)} -j ACCEPT`] }])
  }
  return { entries, chains }
}

function planFrontend(context: RouteContext, frontend: Frontend): FrontendPlan {
  const { port } = context
  const plan = { entries: [] as [TreeName, Entry][], chains: [] as Chain[] }
  const match = matchOf(port.protocol, frontend)
  const onNode = frontend.ip === undefined
  const add = (tree: TreeName, rules: readonly string[]) => {
    if (rules.length > 0) plan.entries.push([tree, entryOf(port.protocol, frontend, rules)])
  }
  const answers = answerRules(context, frontend)
  if (frontend.sourceRanges === undefined) {
    const forwards = forwardRules(context, frontend)
    add(onNode ? 'nodePorts' : 'services', prefixed(match, forwards))
    add(onNode ? 'unansweredNodePorts' : 'unanswered', prefixed(match, answers))
    return plan
  }
  const guarded = { port, frontend, ranges: frontend.sourceRanges.map(matchSource) }
  const forwards = guardedChains('nat', guarded, forwardRules(context, frontend))
  const refusals = guardedChains('filter', guarded, answers)
  plan.chains.push(...forwards.chains, ...refusals.chains)
  add(onNode ? 'nodePorts' : 'services', prefixed(match, forwards.rules))
  add(onNode ? 'firewallNodePorts' : 'firewall', prefixed(match, refusals.rules))
  return plan
}

function prefixed(match: string, rules: readonly string[]): readonly string[] {
  return rules.map((rest) => rule(match, rest))
}

/**
 * Source ranges stand before the route: an allowed sender goes on to `rules`, and everybody else is left alone in
 * `nat` and dropped in `filter`.
 */
function guardedChains(
  table: Table,
  at: { readonly port: PortForwarding; readonly frontend: Frontend; readonly ranges: readonly string[] },
  rules: readonly string[],
): { readonly rules: readonly string[]; readonly chains: readonly Chain[] } {
  // Where every sender is forwarded, whoever is still untranslated in filter was not allowed.
  if (rules.length === 0) return { rules: table === 'nat' ? [] : ['-j DROP'], chains: [] }
  const { port, frontend, ranges } = at
  const where = `${port.key} ${placeOf(port.protocol, frontend)}`
  const allowed = hashedChain('A', [where])
  const routes = hashedChain('R', [where])
  const last = table === 'filter' ? ['-j DROP'] : []
  return {
    rules: [`-g ${allowed}`],
    chains: [
      chain(table, allowed, {
        label: `${where} allowed sources`,
        rules: [...ranges.map((range) => `${range} -g ${routes}`), ...last],
      }),
      chain(table, routes, { label: `${where} routes`, rules }),
    ],
  }
}

function matchOf(protocol: Protocol, frontend: Frontend): string {
  const ports = matchPort(protocol, frontend.port, frontend.lastPort ?? frontend.port)
  return frontend.ip === undefined ? ports : `${matchDestination(frontend.ip)} ${ports}`
}

/** `172.30.0.1 80`, `nodes 30000-30010`: for people and for hashes. */
function placeOf(protocol: Protocol, frontend: Frontend): string {
  const last = frontend.lastPort === undefined ? '' : `-${frontend.lastPort}`
  return `${frontend.ip ?? 'nodes'} ${protocol} ${frontend.port}${last}`
}

function entryOf(protocol: Protocol, frontend: Frontend, rules: readonly string[]): Entry {
  const ports = { first: frontend.port, last: frontend.lastPort ?? frontend.port }
  const path = pathOf(frontend.ip, protocol, ports)
  return { path, id: `${path}-${hexPort(ports.last)}`, rules }
}
