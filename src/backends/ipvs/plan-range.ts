/**
 * A frontend with a range of ports. No virtual server has a range, so all its packets are marked, one rule for each
 * kind of sender, and a virtual server of the mark hands them to the endpoints with the port that they came for.
 */
import type { Frontend, Origin } from '../../forwarding/forwarding.ts'
import type { Ip } from '../../net/ip.ts'
import { chain } from '../../netfilter/iptables/chain.ts'
import { matchDestination, matchPort, matchSource, rule } from '../../netfilter/iptables/rule.ts'
import { markText, portElement } from '../../netfilter/ipset/ipset.ts'
import { markSelector } from '../../netfilter/ipvs/virtual-server.ts'
import * as names from './names.ts'
import { type Draft, origins } from './plan-port.ts'

/** The rules of one range, in the order in which packets must meet them. */
export interface RangePlan {
  /** Unique on the node; sorts the rules. */
  readonly id: string
  /** For everybody, before anything else. */
  readonly sources: readonly string[]
  readonly byOrigin: Readonly<Partial<Record<Origin, string>>>
  /** Endpoints on this node: no port tells their connections to themselves apart. */
  readonly selves: readonly Ip[]
}

export function planRange(draft: Draft, frontend: Frontend, ip: Ip): void {
  const { port, context } = draft
  const match = rule(matchDestination(ip), matchPort(port.protocol, frontend.port, frontend.lastPort))
  const id = `${ip},${portElement(port.protocol, frontend.port)}`
  const byOrigin: Partial<Record<Origin, string>> = {}
  for (const origin of origins(context)) {
    const route = frontend.routes[origin]
    if (route.action === 'drop') {
      byOrigin[origin] = rule(match, '-j DROP')
      continue
    }
    // Without endpoints the pool is empty, and a virtual server without servers rejects.
    const pool = route.action === 'forward' ? route.pool : 'cluster'
    const masquerade = route.action === 'forward' && route.masquerade
    const mark = draft.markFor({ action: 'forward', pool, masquerade }, true)
    byOrigin[origin] = rule(match, `-j MARK --set-xmark 0x${mark.toString(16)}/0xffffffff`)
    draft.serve(markSelector(mark, context.family), pool, true)
    // The same for the first port by a set, which is where a restarted proxy finds its marks again.
    draft.element(names.originSet('MARK', origin), id, markText(mark))
  }
  const selves = [...port.pools.cluster, ...port.pools.local]
    .filter(({ local }) => local)
    .map((one) => one.ip)
  draft.ranges.push({ id, sources: planSources(draft, frontend, { id, match }), byOrigin, selves })
}

function planSources(
  draft: Draft,
  frontend: Frontend,
  at: { readonly id: string; readonly match: string },
): readonly string[] {
  if (frontend.sourceRanges === undefined) return []
  const name = names.sourcesChain(at.id)
  const allowed = frontend.sourceRanges.map((cidr) => rule(matchSource(cidr), '-j RETURN'))
  const rules = [...allowed, '-j DROP']
  const object = chain('mangle', name, { label: `who may reach ${at.id}`, rules })
  draft.own.set(object.key, object)
  return [rule(at.match, `-j ${name}`)]
}
