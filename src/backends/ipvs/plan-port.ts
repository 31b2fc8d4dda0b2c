/**
 * One service port in IPVS words: virtual servers, their real servers, and its elements in the sets that the glue
 * rules look at. Nothing is decided here; every line follows from a frontend's routes.
 *
 * A virtual server knows no senders. Where senders differ in the pool they get, the most external one has the virtual
 * server of the address, and the others are led to a second one by a mark (README.md, "Two answers at one address").
 */
import {
  type Frontend,
  type Origin,
  type PoolName,
  type PortForwarding,
  type Route,
  type Target,
  ORIGINS,
} from '../../forwarding/forwarding.ts'
import type { ServicePortKey } from '../../model/service-port.ts'
import { hostCidr } from '../../net/cidr.ts'
import { type Family, type Ip, hostPort } from '../../net/ip.ts'
import type { Protocol } from '../../net/protocol.ts'
import type { IptablesObject } from '../../netfilter/iptables/chain.ts'
import {
  type IpSet,
  type SetElement,
  markText,
  portElement,
  setElement,
} from '../../netfilter/ipset/ipset.ts'
import {
  type BoundAddress,
  type DummyDevice,
  type LocalRoute,
  localRoute,
} from '../../netfilter/ipvs/local-route.ts'
import {
  type IpvsServer,
  type VirtualServerChoices,
  addressSelector,
  markSelector,
  realServer,
  virtualServer,
} from '../../netfilter/ipvs/virtual-server.ts'
import { type Fragment, fragmentOf } from '../../netfilter/kernel-state.ts'
import * as names from './names.ts'
import { type RangePlan, planRange } from './plan-range.ts'
import { type SchedulerContext, chooseScheduler, serverWeights } from './plan-scheduler.ts'

export type IpvsObject =
  IpvsServer | IpSet | SetElement | LocalRoute | BoundAddress | DummyDevice | IptablesObject

/** What every service port is planned with; a change of it plans all of them anew. */
export interface PortContext {
  readonly family: Family
  /** Without a detector nobody is a pod. */
  readonly hasDetector: boolean
  readonly masqueradeMark: number
  /** Addresses that NodePorts answer on. */
  readonly nodePortIps: readonly Ip[]
  /** Addresses of interfaces: they are local already. */
  readonly localIps: ReadonlySet<Ip>
  /** What the node itself uses towards Services. */
  readonly source: Ip | undefined
  readonly schedulers: SchedulerContext
  /** Makes every node begin with another server. */
  readonly seed: string
  /** The mark of a virtual server by its name, unique on this node. */
  readonly markOf: (owner: ServicePortKey, name: string) => number
}

export interface PortPlan {
  /** Objects that no other service port can have. */
  readonly fragment: Fragment<IpvsObject>
  /** Objects that several service ports may need: addresses, hairpins, health checks. */
  readonly shared: readonly IpvsObject[]
  readonly ranges: readonly RangePlan[]
}

/** Objects under construction; keys make repeated ones one. */
export class Draft {
  readonly own = new Map<string, IpvsObject>()
  readonly shared = new Map<string, IpvsObject>()
  readonly ranges: RangePlan[] = []
  readonly port: PortForwarding
  readonly context: PortContext
  readonly scheduler: string
  /** By pool: the targets in the order in which this node tells them to the kernel. */
  readonly #ordered = new Map<PoolName, readonly { readonly target: Target; readonly weight: number }[]>()

  constructor(port: PortForwarding, context: PortContext, scheduler: string) {
    this.port = port
    this.context = context
    this.scheduler = scheduler
  }

  element(set: names.SetName, element: string, text = ''): void {
    const object = setElement(names.setNameFor(set, this.context.family), element, text)
    this.own.set(object.key, object)
  }

  sharedElement(set: names.SetName, element: string): void {
    const object = setElement(names.setNameFor(set, this.context.family), element)
    this.shared.set(object.key, object)
  }

  /** A virtual server with the servers of a pool; `keepsPort`: they see the port that the client dialled. */
  serve(selector: string, pool: PoolName | undefined, keepsPort = false): void {
    const virtual = virtualServer(selector, this.#choices(selector, keepsPort))
    if (this.own.has(virtual.key)) return
    this.own.set(virtual.key, virtual)
    const drainSeconds = drainSecondsOf(this.port, this.scheduler)
    for (const { target, weight } of pool === undefined ? [] : this.#orderedPool(pool)) {
      const server = hostPort(target.ip, keepsPort ? 0 : target.port)
      const real = realServer(selector, server, { weight, drainSeconds })
      this.own.set(real.key, real)
    }
  }

  /**
   * Of a persistent mark the kernel (seen in 6.1) sends connections to the port that was dialled, whatever port the
   * server has. A hash of the client's address keeps it at its server as well, without a time.
   */
  #choices(selector: string, keepsPort: boolean): VirtualServerChoices {
    const { affinitySeconds: persistentSeconds } = this.port
    const isMark = selector.startsWith('-f ')
    return isMark && !keepsPort && persistentSeconds !== undefined
      ? { scheduler: 'sh', persistentSeconds: undefined }
      : { scheduler: this.scheduler, persistentSeconds }
  }

  /** The mark of the virtual server that hands out `pool`, with the masquerade bit where the route asks for it. */
  markFor(route: Route & { readonly action: 'forward' }, keepsPort: boolean): number {
    const name = [this.port.key, route.pool, keepsPort ? 'range' : ''].join('|')
    const mark = this.context.markOf(this.port.key, name)
    return route.masquerade ? (mark | this.context.masqueradeMark) >>> 0 : mark
  }

  /**
   * Round robin begins with the server that was added last. If all nodes added them in one order, the same server
   * would get the first connection of every node.
   */
  #orderedPool(pool: PoolName) {
    const known = this.#ordered.get(pool)
    if (known !== undefined) return known
    const targets = this.port.pools[pool]
    const weights = serverWeights(targets)
    const ordered = targets
      .map((target, i) => ({ target, weight: weights[i] ?? 1, rank: this.#rank(target) }))
      .sort((a, b) => a.rank - b.rank)
    this.#ordered.set(pool, ordered)
    return ordered
  }

  #rank(target: Target): number {
    return rankOf(`${this.context.seed} ${hostPort(target.ip, target.port)}`)
  }
}

export function planPort(port: PortForwarding, context: PortContext): PortPlan {
  const choice = chooseScheduler(port, context.schedulers)
  const draft = new Draft(port, context, choice.scheduler)
  for (const frontend of port.frontends) planFrontend(draft, frontend)
  planHairpin(draft)
  if (port.healthCheckNodePort !== undefined)
    draft.sharedElement('KUBE-HEALTH-CHECK-NODE-PORT', String(port.healthCheckNodePort))
  return {
    fragment: fragmentOf(draft.own.values()),
    shared: [...draft.shared.values()],
    ranges: draft.ranges,
  }
}

/** Senders that can be told apart on this node. */
export function origins(context: PortContext): readonly Origin[] {
  return context.hasDetector ? ORIGINS : ORIGINS.filter((origin) => origin !== 'pod')
}

function planFrontend(draft: Draft, frontend: Frontend): void {
  if (frontend.kind === 'NodePort') planNodePortNames(draft, frontend)
  const ips = frontend.ip === undefined ? draft.context.nodePortIps : [frontend.ip]
  for (const ip of ips) {
    if (frontend.kind !== 'NodePort') planAddress(draft, ip)
    if (frontend.lastPort !== undefined) planRange(draft, frontend, ip)
    else planInstance(draft, frontend, ip)
  }
}

/** Addresses that an interface has are local anyway, and everything else that answers on them keeps answering. */
function planAddress({ context, shared }: Draft, ip: Ip): void {
  if (context.localIps.has(ip)) return
  const route = localRoute(ip, context.source)
  const record = setElement(names.setNameFor('KUBE-IPVS-IPS', context.family), ip)
  shared.set(route.key, route)
  shared.set(record.key, record)
}

/** One address, protocol and port that packets arrive at. */
function planInstance(draft: Draft, frontend: Frontend, ip: Ip): void {
  const { port, context } = draft
  const place = `${ip},${portElement(port.protocol, frontend.port)}`
  planMembership(draft, frontend, place)
  planSources(draft, frontend, { ip, place })
  const pool = poolOfAddress(frontend, context)
  draft.serve(addressSelector(port.protocol, ip, frontend.port), pool)
  for (const origin of origins(context)) planRoute(draft, frontend, { origin, place, pool })
}

/** What everybody gets who is not led elsewhere: the farthest sender that is forwarded decides. */
export function poolOfAddress(frontend: Frontend, context: PortContext): PoolName | undefined {
  for (const origin of origins(context).toReversed()) {
    const route = frontend.routes[origin]
    if (route.action === 'forward') return route.pool
  }
  return undefined
}

function planRoute(
  draft: Draft,
  frontend: Frontend,
  at: { readonly origin: Origin; readonly place: string; readonly pool: PoolName | undefined },
): void {
  const { origin, place, pool } = at
  const route = frontend.routes[origin]
  if (route.action !== 'forward') {
    // A virtual server without servers rejects by itself; so a rejected sender among forwarded ones is dropped.
    if (route.action === 'drop' || pool !== undefined) draft.element(names.originSet('DROP', origin), place)
    return
  }
  if (route.masquerade && !isMasqueradedAnyway(frontend, origin, draft.context))
    draft.element(names.originSet('MASQ', origin), place)
  if (route.pool === pool) return
  const mark = draft.markFor(route, false)
  draft.element(names.originSet('MARK', origin), place, markText(mark))
  draft.serve(markSelector(mark, draft.context.family), route.pool)
}

/** Most elements are ClusterIPs, and who is no pod is masqueraded towards them: one rule says so for all. */
function isMasqueradedAnyway(frontend: Frontend, origin: Origin, context: PortContext): boolean {
  return frontend.kind === 'ClusterIP' && context.hasDetector && origin !== 'pod'
}

/** The sets that say what an address is, for whoever looks at them; the rules need them for "is a Service". */
function planMembership(draft: Draft, frontend: Frontend, place: string): void {
  const isLocal = isLocalPolicy(frontend)
  switch (frontend.kind) {
    case 'ClusterIP':
      draft.element('KUBE-CLUSTER-IP', place)
      return
    case 'ExternalIP':
      draft.element(isLocal ? 'KUBE-EXTERNAL-IP-LOCAL' : 'KUBE-EXTERNAL-IP', place)
      return
    case 'LoadBalancerIP':
      draft.element('KUBE-LOAD-BALANCER', place)
      if (isLocal) draft.element('KUBE-LOAD-BALANCER-LOCAL', place)
      return
    case 'NodePort':
      if (draft.port.protocol !== 'SCTP') return
      draft.element('KUBE-NODE-PORT-SCTP-HASH', place)
      if (isLocal) draft.element('KUBE-NODE-PORT-LOCAL-SCTP-HASH', place)
  }
}

const NODE_PORT_SETS: Readonly<Record<Protocol, readonly names.SetName[]>> = {
  TCP: ['KUBE-NODE-PORT-TCP', 'KUBE-NODE-PORT-LOCAL-TCP'],
  UDP: ['KUBE-NODE-PORT-UDP', 'KUBE-NODE-PORT-LOCAL-UDP'],
  SCTP: [],
}

/** TCP and UDP node ports are in their sets without addresses. */
function planNodePortNames(draft: Draft, frontend: Frontend): void {
  const [all, local] = NODE_PORT_SETS[draft.port.protocol]
  if (all === undefined || local === undefined) return
  draft.element(all, String(frontend.port))
  if (isLocalPolicy(frontend)) draft.element(local, String(frontend.port))
}

function isLocalPolicy(frontend: Frontend): boolean {
  const { external } = frontend.routes
  return external.action === 'drop' || (external.action === 'forward' && external.pool === 'local')
}

function planSources(
  draft: Draft,
  frontend: Frontend,
  at: { readonly ip: Ip; readonly place: string },
): void {
  if (frontend.sourceRanges === undefined) return
  draft.element('KUBE-LOAD-BALANCER-FW', at.place)
  for (const cidr of frontend.sourceRanges)
    if (cidr === hostCidr(at.ip)) draft.element('KUBE-LOAD-BALANCER-SOURCE-IP', `${at.place},${at.ip}`)
    else
      for (const network of networksOf(cidr))
        draft.element('KUBE-LOAD-BALANCER-SOURCE-CIDR', `${at.place},${network}`)
}

/** As ipset prints them: an address without its length, and never length 0, which it cannot hold. */
function networksOf(cidr: string): readonly string[] {
  if (cidr === '0.0.0.0/0') return ['0.0.0.0/1', '128.0.0.0/1']
  if (cidr === '::/0') return ['::/1', '8000::/1']
  return [cidr.replace(cidr.includes(':') ? /\/128$/ : /\/32$/, '')]
}

/** Only an endpoint of this node can meet itself. */
function planHairpin(draft: Draft): void {
  const { port } = draft
  for (const { ip, port: number, local } of [...port.pools.cluster, ...port.pools.local]) {
    if (!local) continue
    draft.sharedElement('KUBE-LOOP-BACK', `${ip},${portElement(port.protocol, number)},${ip}`)
  }
}

/**
 * A flow of UDP never ends by itself, so nobody waits for it. A hash of the address that is dialled, `dh`, would send all
 * new connections of a frontend to a server that drains, and has no other to fall back to.
 */
function drainSecondsOf(
  { protocol, onEndpointRemoval }: PortForwarding,
  scheduler: string,
): number | undefined {
  if (protocol === 'UDP' || scheduler === 'dh' || onEndpointRemoval.action === 'reset') return 0
  return onEndpointRemoval.action === 'drain' ? onEndpointRemoval.seconds : undefined
}

/** FNV-1a and one more mixing step, so that addresses that differ in their last digit end up far apart. */
function rankOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0
}
