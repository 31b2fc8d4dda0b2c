/**
 * The elements of one service port. Every element stands in one place of one map, so nothing here depends on any other
 * service port; what several of them need (an address, a chain) is returned apart and counted by the planner.
 */
import type { Frontend, PoolName, PortForwarding, Target } from '../../forwarding/forwarding.ts'
import { type Cidr, cidrContains, networkAddress, prefixLength } from '../../net/cidr.ts'
import { type ElementObject, type NftObject, anElement } from '../../netfilter/nftables/ruleset.ts'
import * as names from './names.ts'
import { affinityElements, rememberChain } from './plan-affinity.ts'
import type { Shape, ShapePlanner } from './plan-shape.ts'
import { LOCAL_OFFSET, slotsOf } from './plan-slots.ts'
import type { Words } from './plan-words.ts'

export interface PortObjects {
  /** What only this service port needs; an element that others refer to comes before those. */
  readonly own: readonly ElementObject[]
  /** What other service ports may need too: equal objects under equal keys. */
  readonly shared: readonly NftObject[]
}

type Slots = Readonly<Record<PoolName, readonly Target[]>>

export class PortPlanner {
  readonly #words: Words
  readonly #shapes: ShapePlanner

  constructor(words: Words, shapes: ShapePlanner) {
    this.#words = words
    this.#shapes = shapes
  }

  objectsOf(port: PortForwarding): PortObjects {
    const slots = slotsOfPools(port)
    const own: ElementObject[] = []
    for (const frontend of port.frontends) {
      const shape = this.#shapeOf(port, frontend, slots)
      own.push(...this.#frontendElements(port, { frontend, space: spaceOf(frontend), shape, slots }))
    }
    return { own, shared: this.sharedOf(port, slots) }
  }

  /** The shared part alone: what is to be released when the service port goes. */
  sharedOf(port: PortForwarding, slots: Slots = slotsOfPools(port)): readonly NftObject[] {
    const shared: NftObject[] = [...hairpinElements(port)]
    for (const frontend of port.frontends) {
      const shape = this.#shapeOf(port, frontend, slots)
      shared.push(...shape.chains, ...this.#remembering(port, frontend, shape), ...addressElements(frontend))
    }
    return shared
  }

  #shapeOf(port: PortForwarding, frontend: Frontend, slots: Slots): Shape {
    return this.#shapes.shapeOf({
      space: spaceOf(frontend),
      protocol: port.protocol,
      routes: frontend.routes,
      slots: { cluster: slots.cluster.length, local: slots.local.length },
      choice: { affinity: port.affinitySeconds !== undefined, bySource: port.algorithm === 'source-hash' },
    })
  }

  #frontendElements(port: PortForwarding, { frontend, space, shape, slots }: Planned): ElementObject[] {
    const key = keyOf(port, frontend)
    const its = names.CONTAINERS[space]
    const elements: ElementObject[] = []
    if (shape.verdict !== undefined && shape.verdict !== 'drop')
      for (const pool of poolsOf(frontend))
        elements.push(...slotElements(this.#words, { port, frontend, pool, targets: slots[pool] }))
    if (port.affinitySeconds !== undefined && shape.chains.length > 0) {
      const targets = poolsOf(frontend).flatMap((pool) => port.pools[pool])
      const given = { port: port.key, seconds: port.affinitySeconds, targets }
      elements.push(...affinityElements({ space, protocol: port.protocol }, key, given))
    }
    if (frontend.sourceRanges !== undefined) {
      for (const cidr of withoutNested(frontend.sourceRanges))
        elements.push(anElement(its.sources, `${key} . ${cidrText(cidr)}`))
      elements.push(anElement(its.firewalled, key))
    }
    if (space === 'node-port') elements.push(anElement(names.NODE_PORTS, key))
    if (shape.verdict !== undefined) elements.push(anElement(its.services, key, shape.verdict))
    if (shape.refusal !== undefined) elements.push(anElement(its.noEndpoints, key, shape.refusal))
    return elements
  }

  #remembering(port: PortForwarding, frontend: Frontend, shape: Shape): readonly NftObject[] {
    if (port.affinitySeconds === undefined || shape.chains.length === 0) return []
    const place = { space: spaceOf(frontend), protocol: port.protocol }
    return [rememberChain(this.#words, place, port.affinitySeconds)]
  }
}

function slotsOfPools({ pools }: PortForwarding): Slots {
  return { cluster: slotsOf(pools.cluster), local: slotsOf(pools.local) }
}

interface Planned {
  readonly frontend: Frontend
  readonly space: names.Space
  readonly shape: Shape
  readonly slots: Slots
}

export function spaceOf(frontend: Frontend): names.Space {
  if (frontend.ip === undefined) return 'node-port'
  return frontend.lastPort === undefined ? 'address' : 'range'
}

/** `172.30.0.1 . 6 . 80`, `6 . 30080`, `172.30.0.1 . 17 . 10000-20000`. */
export function keyOf(port: PortForwarding, frontend: Frontend): string {
  const protocol = names.PROTOCOL_NUMBER[port.protocol]
  const { ip, port: first, lastPort } = frontend
  if (ip === undefined) return `${protocol} . ${first}`
  const ports = lastPort === undefined || lastPort === first ? String(first) : `${first}-${lastPort}`
  return `${ip} . ${protocol} . ${ports}`
}

function poolsOf({ routes }: Frontend): readonly PoolName[] {
  const used = [routes.pod, routes.node, routes.external].flatMap((route) =>
    route.action === 'forward' ? [route.pool] : [],
  )
  return (['cluster', 'local'] as const).filter((pool) => used.includes(pool))
}

/** `172.30.0.1 . 80`, `30080`; of a range as `keyOf`. */
export function endpointKey(port: PortForwarding, frontend: Frontend): string {
  if (spaceOf(frontend) === 'range') return keyOf(port, frontend)
  return frontend.ip === undefined ? String(frontend.port) : `${frontend.ip} . ${frontend.port}`
}

interface SlotsOfFrontend {
  readonly port: PortForwarding
  readonly frontend: Frontend
  readonly pool: PoolName
  readonly targets: readonly Target[]
}

function slotElements(
  { dialect }: Words,
  { port, frontend, pool, targets }: SlotsOfFrontend,
): readonly ElementObject[] {
  const place = { space: spaceOf(frontend), protocol: port.protocol }
  const key = endpointKey(port, frontend)
  const offset = pool === 'local' ? LOCAL_OFFSET : 0
  return targets.flatMap((target, i) => dialect.slotElements(place, key, { number: offset + i, target }))
}

function addressElements({ kind, ip }: Frontend): readonly ElementObject[] {
  if (ip === undefined) return []
  return [anElement(kind === 'ClusterIP' ? names.CLUSTER_IPS : names.EXTERNAL_IPS, ip)]
}

/** Only an endpoint of this node can meet itself. */
function hairpinElements({ pools }: PortForwarding): readonly ElementObject[] {
  const local = [...pools.cluster, ...pools.local].filter((target) => target.local)
  return [...new Set(local.map(({ ip }) => ip))].map((ip) => anElement(names.HAIRPIN, `${ip} . ${ip}`))
}

/** Intervals of one set must not overlap; of two networks that do, one contains the other. */
export function withoutNested(cidrs: readonly Cidr[]): readonly Cidr[] {
  const widestFirst = [...cidrs].sort((a, b) => prefixLength(a) - prefixLength(b))
  const kept: Cidr[] = []
  for (const cidr of widestFirst)
    if (!kept.some((wider) => cidrContains(wider, networkAddress(cidr)))) kept.push(cidr)
  return kept
}

/** As nft prints it: a single address without its length. */
export function cidrText(cidr: Cidr): string {
  const full = cidr.includes(':') ? 128 : 32
  return prefixLength(cidr) === full ? networkAddress(cidr) : cidr
}
