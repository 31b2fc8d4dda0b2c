/**
 * The answers of one service port's frontends as entries of the dispatch trees.
 *
 * A route per origin becomes at most a handful of rules behind one match of address, protocol and port. `nat` holds
 * the routes that forward; `filter` holds reject and drop, which are reached only by packets that `nat` left alone.
 */
import type { Frontend, Origin, PortForwarding, Route } from '../../forwarding/forwarding.ts'
import type { Protocol } from '../../net/protocol.ts'
import { type Chain, type Table, chain } from '../../netfilter/iptables/chain.ts'
import type { Entry } from '../../netfilter/iptables/dispatch-tree.ts'
import { matchDestination, matchPort, matchSource, rule } from '../../netfilter/iptables/rule.ts'
import type { BackendOptions, LocalDetector } from '../backend.ts'
import { MARK_MASQUERADE, hashedChain } from './names.ts'
import { hexPort, pathOf } from './places.ts'
import { poolChainName } from './plan-pools.ts'

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

/** One kind of sender that has an answer of its own. */
interface Step {
  /** How the sender is recognised once the steps before did not match; empty for "everybody else". */
  readonly match: string
  /** The opposite, where one rule can say it. */
  readonly unless: string | undefined
  readonly route: Route
}

export function planFrontends(port: PortForwarding, options: BackendOptions): FrontendPlan {
  const entries: (readonly [TreeName, Entry])[] = []
  const chains: Chain[] = []
  for (const frontend of port.frontends) {
    const planned = planFrontend(port, frontend, options.detector)
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

function planFrontend(
  port: PortForwarding,
  frontend: Frontend,
  detector: LocalDetector | undefined,
): FrontendPlan {
  const steps = stepsOf(port, frontend, detector)
  const plan = { entries: [] as [TreeName, Entry][], chains: [] as Chain[] }
  const match = matchOf(port.protocol, frontend)
  const onNode = frontend.ip === undefined
  const add = (tree: TreeName, rules: readonly string[]) => {
    if (rules.length > 0) plan.entries.push([tree, entryOf(port.protocol, frontend, rules)])
  }
  const answers = answerRules(steps)
  if (frontend.sourceRanges === undefined) {
    const forwards = forwardRules(port, frontend, steps)
    add(onNode ? 'nodePorts' : 'services', prefixed(match, forwards))
    add(onNode ? 'unansweredNodePorts' : 'unanswered', prefixed(match, answers))
    return plan
  }
  const guarded = { port, frontend, ranges: frontend.sourceRanges.map(matchSource) }
  const forwards = guardedChains('nat', guarded, forwardRules(port, frontend, steps))
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

/** The steps in the order of recognition; an origin that is answered like all after it needs none. */
function stepsOf(
  port: PortForwarding,
  frontend: Frontend,
  detector: LocalDetector | undefined,
): readonly Step[] {
  const route = (origin: Origin) => usable(port, frontend.routes[origin])
  const steps: Step[] = [{ match: '', unless: undefined, route: route('external') }]
  if (!sameRoute(route('node'), route('external')))
    steps.unshift({
      match: '-m addrtype --src-type LOCAL',
      unless: '-m addrtype ! --src-type LOCAL',
      route: route('node'),
    })
  if (detector === undefined) return steps
  if (steps.length > 1 || !sameRoute(route('pod'), route('external')))
    steps.unshift({ ...detectorMatch(detector), route: route('pod') })
  return steps
}

/** A pool without endpoints cannot be forwarded to. */
function usable(port: PortForwarding, route: Route): Route {
  return route.action === 'forward' && port.pools[route.pool].length === 0 ? { action: 'reject' } : route
}

function sameRoute(a: Route, b: Route): boolean {
  if (a.action !== 'forward' || b.action !== 'forward') return a.action === b.action
  return a.pool === b.pool && a.masquerade === b.masquerade
}

export function detectorMatch(detector: LocalDetector): { match: string; unless: string } {
  const text = detectorText(detector)
  return { match: text, unless: `! ${text}` }
}

function detectorText(detector: LocalDetector): string {
  switch (detector.by) {
    case 'source':
      return matchSource(detector.cidr)
    case 'interface':
      return `-i ${detector.name}`
    case 'interface-prefix':
      return `-i ${detector.prefix}+`
  }
}

/** What `nat` does: mark for masquerading, go to the pool; a sender who is not forwarded leaves untranslated. */
function forwardRules(port: PortForwarding, frontend: Frontend, steps: readonly Step[]): readonly string[] {
  if (!steps.some(({ route }) => route.action === 'forward')) return []
  const mark = `-j ${MARK_MASQUERADE}`
  const keepPort = frontend.lastPort !== undefined
  const go = (route: Route & { action: 'forward' }) =>
    `-g ${poolChainName(port, { pool: route.pool, keepPort })}`
  const shortcut = oneMarkThenGo(steps)
  if (shortcut !== undefined) return [rule(shortcut.marked, mark), go(shortcut.route)]
  const rules: string[] = []
  for (const { match, route } of steps) {
    if (route.action !== 'forward') {
      if (match !== '') rules.push(rule(match, '-j RETURN'))
      continue
    }
    if (route.masquerade) rules.push(rule(match, mark))
    rules.push(rule(match, go(route)))
  }
  return rules
}

/** The usual ClusterIP: one pool for all, and only one kind of sender (who is not a pod) is masqueraded. */
function oneMarkThenGo(
  steps: readonly Step[],
): { readonly marked: string; readonly route: Route & { action: 'forward' } } | undefined {
  const [first, second] = steps
  if (steps.length !== 2 || first?.route.action !== 'forward' || second?.route.action !== 'forward')
    return undefined
  if (first.route.pool !== second.route.pool || first.unless === undefined) return undefined
  return { marked: first.route.masquerade ? first.match : first.unless, route: first.route }
}

/** What `filter` does with packets that were not forwarded. */
function answerRules(steps: readonly Step[]): readonly string[] {
  const target = (route: Route) => (route.action === 'reject' ? '-j REJECT' : '-j DROP')
  const refused = steps.filter(({ route }) => route.action !== 'forward')
  const targets = new Set(refused.map(({ route }) => target(route)))
  // Forwarded packets have another destination by now, so one refusal for all needs no look at the sender.
  if (targets.size <= 1) return [...targets]
  return steps.flatMap(({ match, route }) => {
    if (route.action !== 'forward') return [rule(match, target(route))]
    return match === '' ? [] : [rule(match, '-j RETURN')]
  })
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
