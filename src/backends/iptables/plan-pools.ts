/**
 * The chains that choose an endpoint: one per pool in use, plus one for each endpoint that needs more than DNAT.
 *
 * An endpoint has a chain of its own only if it runs here (only then can it meet itself, and must be masqueraded) or
 * if the Service has session affinity (its clients are recorded). All others are a DNAT rule in the pool's chain.
 */
import type { PortForwarding, Target } from '../../forwarding/forwarding.ts'
import { hostCidr } from '../../net/cidr.ts'
import { hostPort } from '../../net/ip.ts'
import { type Chain, chain } from '../../netfilter/iptables/chain.ts'
import { dnat, matchRandom, matchSource, rule } from '../../netfilter/iptables/rule.ts'
import { MARK_MASQUERADE, hashedChain, hashedSet } from './names.ts'
import { type SetSupport, affinityPrefix } from './objects.ts'
import { type RouteContext, originsOf, poolMark, usableRoute } from './plan-routes.ts'
import { type PoolUse, poolChainName, poolKind } from './pools.ts'
import { SLOTS, bucketOf, sharesOf } from './spread.ts'

/** More endpoints than this are chosen in two steps, so that no connection looks at a thousand rules. */
const LINEAR_LIMIT = 16

/** Names of the sets that session affinity needs, one per endpoint that any pool in use can reach; sorted. */
export function affinitySets(context: RouteContext): readonly string[] {
  const { port } = context
  if (port.affinitySeconds === undefined) return []
  const names = poolUses(context).flatMap(({ pool }) =>
    port.pools[pool].map((target) => setName(port, target)),
  )
  return [...new Set(names)].sort()
}

export function planPools(context: RouteContext, sets: SetSupport): readonly Chain[] {
  const chains = new Map<string, Chain>()
  for (const use of poolUses(context)) {
    for (const planned of planPool({ ...context, use, sets })) chains.set(planned.key, planned)
  }
  return [...chains.values()]
}

/** The pools that some frontend forwards some sender to, without repetition. */
function poolUses({ port, detector }: RouteContext): readonly PoolUse[] {
  const uses = new Map<string, PoolUse>()
  for (const { routes, lastPort } of port.frontends) {
    for (const route of originsOf(detector).map((origin) => usableRoute(port, routes[origin]))) {
      if (route.action !== 'forward') continue
      const use = { pool: route.pool, keepPort: lastPort !== undefined }
      uses.set(poolKind(use), use)
    }
  }
  return [...uses.values()]
}

interface PoolContext extends RouteContext {
  readonly use: PoolUse
  readonly sets: SetSupport
}

/** One thing that a packet can be sent to, with its share. */
interface Choice {
  readonly text: string
  readonly weight: number
  /** `-j DNAT …` or `-g FL-…`. */
  readonly verdict: string
}

function planPool(context: PoolContext): readonly Chain[] {
  const { port, use } = context
  const targets = port.pools[use.pool]
  const chains = targets.map((target) => endpointChain(context, target)).filter((made) => made !== undefined)
  const choices = targets.map((target) => choiceOf(context, target))
  const before = [poolMark(context, use), ...targets.map((target) => stickyRule(context, target))]
  const first = before.filter((made) => made !== undefined)
  return [...chains, ...choosing({ context, suffix: '', first }, choices)]
}

/** The chain that spreads over `choices`, and the chains below it when there are many. */
function choosing(
  at: { readonly context: PoolContext; readonly suffix: string; readonly first: readonly string[] },
  choices: readonly Choice[],
): readonly Chain[] {
  const { port, use } = at.context
  const label = `${port.key} ${use.pool} endpoints`
  const name = poolChainName(port, use, at.suffix)
  const make = (direct: readonly Choice[]) =>
    chain('nat', name, { label, rules: [...at.first, ...spread(port, direct, at.suffix.length)] })
  if (choices.length <= LINEAR_LIMIT || at.suffix.length >= MAX_DEPTH) return [make(choices)]
  const buckets = new Map<string, Choice[]>()
  for (const choice of choices) {
    const digit = bucketOf(choice.text, at.suffix.length)
    const bucket = buckets.get(digit)
    if (bucket === undefined) buckets.set(digit, [choice])
    else bucket.push(choice)
  }
  const below: Chain[] = []
  const direct: Choice[] = []
  for (const digit of [...buckets.keys()].sort()) {
    const bucket = buckets.get(digit) ?? []
    const suffix = `${at.suffix === '' ? '-' : at.suffix}${digit}`
    below.push(...choosing({ context: at.context, suffix, first: [] }, bucket))
    const weight = bucket.reduce((sum, choice) => sum + choice.weight, 0)
    direct.push({ text: digit, weight, verdict: `-g ${poolChainName(port, use, suffix)}` })
  }
  return [...below, make(direct)]
}

/** A hyphen and three digits: 16³ buckets of 16 endpoints. */
const MAX_DEPTH = 4

function spread(port: PortForwarding, choices: readonly Choice[], level: number): readonly string[] {
  return port.algorithm === 'source-hash' ? bySourceHash(choices, level) : atRandom(choices)
}

/** Each rule takes its share of what the rules before it left; the last one takes the rest. */
function atRandom(choices: readonly Choice[]): readonly string[] {
  let remaining = choices.reduce((sum, { weight }) => sum + weight, 0)
  return choices.map(({ weight, verdict }, i) => {
    const share = weight / remaining
    remaining -= weight
    return i === choices.length - 1 ? verdict : rule(matchRandom(share), verdict)
  })
}

/** The same client always gets the same endpoint, and most clients keep theirs when another one comes or goes. */
function bySourceHash(choices: readonly Choice[], level: number): readonly string[] {
  const seed = (0x5eed + level).toString(16).padStart(8, '0')
  const last = choices.at(-1)
  const rules = sharesOf(choices).flatMap((choice, slot) => {
    if (choice === last) return []
    // iptables 1.8.9 takes no mask of several slots above 32, although it prints such masks.
    const match = `-m cluster --cluster-total-nodes ${SLOTS} --cluster-local-node ${slot + 1} --cluster-hash-seed 0x${seed}`
    return [rule(match, choice.verdict)]
  })
  return last === undefined ? [] : [...rules, last.verdict]
}

function choiceOf(context: PoolContext, target: Target): Choice {
  const name = endpointChainName(context, target)
  const verdict = name === undefined ? dnatRule(context, target) : `-g ${name}`
  return { text: endpointText(target), weight: target.weight, verdict }
}

function dnatRule({ port, use }: PoolContext, target: Target): string {
  return `-p ${port.protocol.toLowerCase()} ${dnat(target.ip, use.keepPort ? undefined : target.port)}`
}

/** `undefined`: DNAT alone is enough, so the rule stands in the pool. */
function endpointChainName({ port, use }: PoolContext, target: Target): string | undefined {
  if (!target.local && port.affinitySeconds === undefined) return undefined
  return hashedChain(use.keepPort ? 'EP' : 'E', [port.key, endpointText(target)])
}

function endpointChain(context: PoolContext, target: Target): Chain | undefined {
  const name = endpointChainName(context, target)
  if (name === undefined) return undefined
  const rules: string[] = []
  if (target.local) rules.push(rule(matchSource(hostCidr(target.ip)), `-j ${MARK_MASQUERADE}`))
  const dnats = dnatRule(context, target)
  const { port, sets } = context
  if (port.affinitySeconds === undefined) rules.push(dnats)
  else if (sets === 'none') rules.push(`-m recent --set --name ${setName(port, target)} ${dnats}`)
  else {
    const add = `--add-set ${setName(port, target)} src --exist --timeout ${port.affinitySeconds}`
    rules.push(`-j SET ${add}`, dnats)
  }
  return chain('nat', name, { label: `${port.key} endpoint ${endpointText(target)}`, rules })
}

/** A client that the endpoint has seen within the timeout goes there again. */
function stickyRule(context: PoolContext, target: Target): string | undefined {
  const { port, sets } = context
  const name = endpointChainName(context, target)
  if (port.affinitySeconds === undefined || name === undefined) return undefined
  const list = setName(port, target)
  if (sets === 'ipset') return `-m set --match-set ${list} src -g ${name}`
  return `-m recent --rcheck --seconds ${port.affinitySeconds} --reap --name ${list} -g ${name}`
}

/** Of one endpoint of one service port, whichever pool it is reached by: that is what affinity remembers. */
function setName(port: PortForwarding, target: Target): string {
  return hashedSet(affinityPrefix(port.family), [port.key, endpointText(target)])
}

export function endpointText(target: Target): string {
  return hostPort(target.ip, target.port)
}
