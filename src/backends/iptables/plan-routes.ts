/**
 * Routes as rules: who is recognised by which match, in which order, and what happens to them.
 *
 * Masquerading is marked in the pool's chain where everybody who comes there by any frontend agrees on it, and before
 * it otherwise. The usual ClusterIP then is one rule in the dispatch tree: rules are what every look-up and every
 * change in the kernel is paid for by.
 */
import type { Frontend, Origin, PortForwarding, Route } from '../../forwarding/forwarding.ts'
import { matchSource, rule } from '../../netfilter/iptables/rule.ts'
import type { LocalDetector } from '../backend.ts'
import { MARK_MASQUERADE, REJECT } from './names.ts'
import { type PoolUse, poolChainName } from './pools.ts'

const MARK = `-j ${MARK_MASQUERADE}`
const FROM_NODE = '-m addrtype --src-type LOCAL'

/** Everything about one service port that routes depend on. */
export interface RouteContext {
  readonly port: PortForwarding
  readonly detector: LocalDetector | undefined
}

type Action =
  | { readonly kind: 'go'; readonly chain: string; readonly mark: boolean }
  | { readonly kind: 'reject' }
  | { readonly kind: 'drop' }

interface Step {
  /** How the sender is recognised once the steps before did not match; empty for "everybody else". */
  readonly match: string
  /** The opposite. */
  readonly unless: string
  readonly action: Action
}

/** The senders that can be told apart, in the order in which they are recognised. */
export function originsOf(detector: LocalDetector | undefined): readonly Origin[] {
  return detector === undefined ? ['node', 'external'] : ['pod', 'node', 'external']
}

/** A pool without endpoints cannot be forwarded to. */
export function usableRoute(port: PortForwarding, route: Route): Route {
  return route.action === 'forward' && port.pools[route.pool].length === 0 ? { action: 'reject' } : route
}

/** The first rule of a pool's chain: whom everybody agrees to masquerade. */
export function poolMark(context: RouteContext, use: PoolUse): string | undefined {
  const agreed = agreedMarks(context, use)
  if (agreed.has('external')) {
    if (context.detector === undefined || agreed.has('pod')) return MARK
    return `! ${detectorMatch(context.detector)} ${MARK}`
  }
  return undefined
}

/** What `nat` does: mark for masquerading, go to the pool; a sender who is not forwarded leaves untranslated. */
export function forwardRules(context: RouteContext, frontend: Frontend): readonly string[] {
  const steps = stepsOf(context, frontend)
  if (!steps.some(({ action }) => action.kind === 'go')) return []
  const shortcut = oneMarkThenGo(steps)
  return shortcut ?? steps.flatMap(forwardStep)
}

function forwardStep({ match, action }: Step): readonly string[] {
  if (action.kind !== 'go') return match === '' ? [] : [rule(match, '-j RETURN')]
  const go = rule(match, `-g ${action.chain}`)
  return action.mark ? [rule(match, MARK), go] : [go]
}

/** Two kinds of senders go to one pool, and one of them is marked. */
function oneMarkThenGo(steps: readonly Step[]): readonly string[] | undefined {
  const [first, second] = steps
  if (steps.length !== 2 || first?.action.kind !== 'go' || second?.action.kind !== 'go') return undefined
  if (first.action.chain !== second.action.chain) return undefined
  return [rule(first.action.mark ? first.match : first.unless, MARK), `-g ${first.action.chain}`]
}

/** What `filter` does with packets that were not forwarded. */
export function answerRules(context: RouteContext, frontend: Frontend): readonly string[] {
  const steps = stepsOf(context, frontend)
  const refused = steps.filter(({ action }) => action.kind !== 'go')
  const targets = new Set(refused.map(({ action }) => verdict(action)))
  // Forwarded packets have another destination by now, so one refusal for all needs no look at the sender.
  if (targets.size <= 1) return [...targets]
  return steps.flatMap(({ match, action }) => {
    if (action.kind !== 'go') return [rule(match, verdict(action))]
    return match === '' ? [] : [rule(match, '-j RETURN')]
  })
}

function verdict(action: Action): string {
  return action.kind === 'reject' ? `-j ${REJECT}` : '-j DROP'
}

/** The steps in the order of recognition; a sender who is answered like everybody after it needs none. */
function stepsOf(context: RouteContext, frontend: Frontend): readonly Step[] {
  const action = (origin: Origin) => actionOf(context, frontend, origin)
  const rest = action('external')
  const steps: Step[] = [{ match: '', unless: '', action: rest }]
  if (!sameAction(action('node'), rest))
    steps.unshift({ match: FROM_NODE, unless: '-m addrtype ! --src-type LOCAL', action: action('node') })
  if (context.detector === undefined) return steps
  if (steps.length === 1 && sameAction(action('pod'), rest)) return steps
  const match = detectorMatch(context.detector)
  return [{ match, unless: `! ${match}`, action: action('pod') }, ...steps]
}

function actionOf(context: RouteContext, frontend: Frontend, origin: Origin): Action {
  const route = usableRoute(context.port, frontend.routes[origin])
  if (route.action !== 'forward') return { kind: route.action }
  const use = { pool: route.pool, keepPort: frontend.lastPort !== undefined }
  const mark = route.masquerade && !agreedMarks(context, use).has(origin)
  return { kind: 'go', chain: poolChainName(context.port, use), mark }
}

function sameAction(a: Action, b: Action): boolean {
  if (a.kind !== 'go' || b.kind !== 'go') return a.kind === b.kind
  return a.chain === b.chain && a.mark === b.mark
}

/**
 * The senders whom the pool's own chain marks: all but pods if every frontend wants that, and pods too if every
 * frontend wants that as well.
 */
function agreedMarks({ port, detector }: RouteContext, use: PoolUse): ReadonlySet<Origin> {
  const wants = (origin: Origin) =>
    port.frontends
      .filter(({ lastPort }) => (lastPort !== undefined) === use.keepPort)
      .map(({ routes }) => usableRoute(port, routes[origin]))
      .filter((route) => route.action === 'forward')
      .filter((route) => route.pool === use.pool)
      .map((route) => route.masquerade)
  const others = [...wants('node'), ...wants('external')]
  if (others.length === 0 || others.includes(false)) return new Set()
  const pods = detector === undefined ? [] : wants('pod')
  return new Set<Origin>(pods.includes(false) ? ['node', 'external'] : ['pod', 'node', 'external'])
}

/** The opposite is written with `! ` before it. */
function detectorMatch(detector: LocalDetector): string {
  switch (detector.by) {
    case 'source':
      return matchSource(detector.cidr)
    case 'interface':
      return `-i ${detector.name}`
    case 'interface-prefix':
      return `-i ${detector.prefix}+`
  }
}
