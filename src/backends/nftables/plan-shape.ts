/**
 * The chains that frontends lead to. A chain stands for a *shape*: who sent the packet, which pool he gets, out of how
 * many slots, masqueraded or not. All Services of one shape share its chain; what differs between them is in map
 * elements, which the chain finds by the packet's own address and port.
 */
import {
  type Frontend,
  ORIGINS,
  type Origin,
  type PoolName,
  type Route,
} from '../../forwarding/forwarding.ts'
import { type ChainObject, type Rule, aChain } from '../../netfilter/nftables/ruleset.ts'
import type { Protocol } from '../../net/protocol.ts'
import type { BackendOptions, LocalDetector } from '../backend.ts'
import * as names from './names.ts'
import { affinityRules } from './plan-affinity.ts'
import { markText } from './plan-layout.ts'
import { LOCAL_OFFSET } from './plan-slots.ts'
import type { Words } from './plan-words.ts'

/** How a slot is chosen. */
export interface Choice {
  readonly affinity: boolean
  /** By the client's address instead of at random. */
  readonly bySource: boolean
}

export interface ShapeRequest {
  readonly space: names.Space
  readonly protocol: Protocol
  readonly routes: Frontend['routes']
  readonly slots: Readonly<Record<PoolName, number>>
  readonly choice: Choice
}

/** What a map element says about a frontend, and the chains that must exist for it. */
export interface Shape {
  /** `goto …` or `drop` before translation; `undefined`: not translated for anybody. */
  readonly verdict: string | undefined
  /** For packets that were not translated; `undefined`: there are none. */
  readonly refusal: string | undefined
  readonly chains: readonly ChainObject[]
}

const POOL_LETTER: Readonly<Record<PoolName, string>> = { cluster: 'c', local: 'l' }
/** Keeps the choice by source the same on all nodes and over restarts. */
const SOURCE_SEED = '0x5eed'

export class ShapePlanner {
  readonly #options: BackendOptions
  readonly #words: Words
  readonly #shapes = new Map<string, Shape>()

  constructor(words: Words, options: BackendOptions) {
    this.#options = options
    this.#words = words
  }

  /** Equal requests give the identical shape. */
  shapeOf(request: ShapeRequest): Shape {
    const tokens = this.#origins().map((origin) => tokenOf(request, request.routes[origin]))
    const name = `${kindOf(request)}${tokens.join('-')}${suffixOf(request.choice)}`
    const key = `${request.space} ${name}`
    const known = this.#shapes.get(key)
    if (known !== undefined) return known
    const shape = this.#build(request, names.inSpace(request.space, `forward-${name}`))
    this.#shapes.set(key, shape)
    return shape
  }

  #build(request: ShapeRequest, name: string): Shape {
    const used = this.#origins().map((origin) => request.routes[origin])
    // An ICMP answer is possible only after translation, so it is for packets that were not translated.
    const refusal = used.some(({ action }) => action === 'reject') ? `goto ${names.REJECT_CHAIN}` : undefined
    if (used.every(({ action }) => action === 'reject')) return { verdict: undefined, refusal, chains: [] }
    if (used.every((route) => actionOf(route, request) === 'drop'))
      return { verdict: 'drop', refusal: undefined, chains: [] }
    const picks = (['cluster', 'local'] as const).flatMap((pool) =>
      used.some((route) => route.action === 'forward' && route.pool === pool) && request.slots[pool] > 0
        ? pickChains(this.#words, request, pool)
        : [],
    )
    const rules = this.#forwardRules(request)
    const [only] = rules
    if (rules.length === 1 && only !== undefined && /^goto \S+$/.test(only.text))
      return { verdict: only.text, refusal, chains: picks }
    return { verdict: `goto ${name}`, refusal, chains: [...picks, aChain(name, rules)] }
  }

  /** Who can be told apart: without a detector nobody is a pod. */
  #origins(): readonly Origin[] {
    return this.#options.detector === undefined ? ['node', 'external'] : ORIGINS
  }

  #forwardRules(request: ShapeRequest): readonly Rule[] {
    const rules: Rule[] = []
    for (const origin of this.#tested(request)) {
      const match = this.#matchOf(origin)
      rules.push({
        text: [match, this.#actionText(request, origin)].filter((text) => text !== '').join(' '),
        note: NOTES[origin],
      })
    }
    return rules
  }

  /** The origins that need a rule: equal neighbours share the last one's. */
  #tested(request: ShapeRequest): readonly Origin[] {
    const origins = this.#origins()
    const tokens = origins.map((origin) => tokenOf(request, request.routes[origin]))
    return origins.filter(
      (_, i) => tokens.slice(i).some((token) => token !== tokens[i]) || i === origins.length - 1,
    )
  }

  #matchOf(origin: Origin): string {
    if (origin === 'external') return ''
    if (origin === 'node') return 'fib saddr type local'
    return this.#options.detector === undefined ? '' : detectorMatch(this.#words, this.#options.detector)
  }

  #actionText(request: ShapeRequest, origin: Origin): string {
    const route = request.routes[origin]
    const action = actionOf(route, request)
    if (action !== 'forward' || route.action !== 'forward') return action === 'drop' ? 'drop' : 'return'
    const mark = route.masquerade ? `meta mark set mark or ${markText(this.#options.masqueradeMark)} ` : ''
    return `${mark}goto ${pickName(request, route.pool)}`
  }
}

const NOTES: Readonly<Record<Origin, string>> = {
  pod: 'From a pod',
  node: 'From this node',
  external: 'From elsewhere',
}

function actionOf(route: Route, { slots }: ShapeRequest): Route['action'] {
  return route.action === 'forward' && slots[route.pool] === 0 ? 'drop' : route.action
}

/** `c5`: five slots of pool cluster; `m`: masqueraded. */
function tokenOf(request: ShapeRequest, route: Route): string {
  const action = actionOf(route, request)
  if (action !== 'forward' || route.action !== 'forward') return action
  return `${POOL_LETTER[route.pool]}${request.slots[route.pool]}${route.masquerade ? 'm' : ''}`
}

function suffixOf({ affinity, bySource }: Choice): string {
  return `${bySource ? '-source' : ''}${affinity ? '-affinity' : ''}`
}

/** A range keeps the port and so needs to know no protocol. */
function kindOf({ space, protocol }: ShapeRequest): string {
  return space === 'range' ? '' : `${protocol.toLowerCase()}-`
}

function pickName(request: ShapeRequest, pool: PoolName): string {
  const { space, slots, choice } = request
  return names.inSpace(space, `pick-${kindOf(request)}${POOL_LETTER[pool]}${slots[pool]}${suffixOf(choice)}`)
}

function pickChains(words: Words, request: ShapeRequest, pool: PoolName): readonly ChainObject[] {
  const name = pickName(request, pool)
  if (!request.choice.affinity) return [aChain(name, pickRules(words, request, pool))]
  const plain = { ...request, choice: { ...request.choice, affinity: false } }
  const next = pickName(plain, pool)
  return [aChain(next, pickRules(words, plain, pool)), aChain(name, affinityRules(words, request, next))]
}

/**
 * The second rule answers a packet that is between two transactions: it was sent here by the old number of slots and
 * finds the slot it drew gone. The first slot is there as long as there are endpoints.
 */
function pickRules(words: Words, request: ShapeRequest, pool: PoolName): readonly Rule[] {
  const { slots, choice } = request
  const offset = pool === 'local' ? ` offset ${LOCAL_OFFSET}` : ''
  const drawn = choice.bySource
    ? `jhash ${words.ip} saddr mod ${slots[pool]} seed ${SOURCE_SEED}${offset}`
    : `numgen random mod ${slots[pool]}${offset}`
  const to = (slot: string): string => words.dialect.translation(words, request, slot)
  return [
    { text: to(drawn), note: `One of ${slots[pool]}` },
    { text: to(`numgen random mod 1${offset}`), note: 'The slot went away meanwhile' },
  ]
}

export function detectorMatch({ ip }: Words, detector: LocalDetector): string {
  if (detector.by === 'source') return `${ip} saddr ${detector.cidr}`
  return detector.by === 'interface' ? `iifname "${detector.name}"` : `iifname "${detector.prefix}*"`
}
