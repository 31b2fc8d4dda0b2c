/**
 * Snapshot → what this node does with packets, for one IP family.
 *
 * Contract: the answer depends on the snapshot, the options and (for slow start alone) the time; not on what was asked
 * before. What was decided before only saves work: parts of the cluster that are the same object as last time are not
 * looked at, and parts of the answer that say the same as last time are the same object. A change of the node's zone
 * or address is the one thing that makes everything be decided anew.
 */
import { keepIdentity } from '../collections/same-value.ts'
import { ShardedMap } from '../collections/sharded-map.ts'
import type { ClusterSnapshot, FamilySnapshot } from '../model/cluster-snapshot.ts'
import type { NodeView } from '../model/node-view.ts'
import type { ServicePort, ServicePortKey } from '../model/service-port.ts'
import type { Cidr } from '../net/cidr.ts'
import { type Family, familyOf } from '../net/ip.ts'
import { AddressGuard } from './address-guard.ts'
import { buildPort, type PortContext } from './build-port.ts'
import { type Conflict, conflictOf } from './conflict.ts'
import type { Forwarding, Frontend, NodeForwarding, PortForwarding, Target } from './forwarding.ts'
import { type NodePortAddressesSpec, nodePortScope } from './node-port-addresses.ts'
import { AddressClaims } from './resolve-conflicts.ts'
import { scaledWeight, SlowStart } from './slow-start.ts'

export interface ForwardingOptions {
  readonly family: Family
  /** Pods can be told from everybody else in this family. */
  readonly hasDetector: boolean
  readonly masqueradeAll: boolean
  readonly nodePortAddresses: NodePortAddressesSpec
  readonly localhostNodePorts: boolean
  /** Networks that external IPs must be in; `undefined`: any address but the node's own; empty: no external IPs. */
  readonly externalIpCidrs: readonly Cidr[] | undefined
}

const EMPTY_FAMILY: FamilySnapshot = {
  servicePorts: ShardedMap.empty(),
  endpoints: ShardedMap.empty(),
  serviceCidrs: [],
}

export class ForwardingDecider {
  readonly #options: ForwardingOptions
  readonly #slowStart = new SlowStart()
  readonly #drafts = new Map<ServicePortKey, PortForwarding>()
  readonly #refused = new Map<ServicePortKey, readonly Conflict[]>()
  readonly #guard = new AddressGuard()
  readonly #claims = new AddressClaims()
  #conflicts = ShardedMap.empty<ServicePortKey, readonly Conflict[]>()
  #snapshot = EMPTY_FAMILY
  #context: PortContext | undefined
  #forwarding: Forwarding | undefined

  constructor(options: ForwardingOptions) {
    this.#options = options
  }

  /** `nowMs`, on any clock that only grows, drives slow start; without it every endpoint has its full weight. */
  decide(snapshot: ClusterSnapshot, nowMs?: number): Forwarding {
    const { family } = this.#options
    const next = snapshot.families[family]
    const context = keepIdentity(this.#context, this.#contextOf(snapshot.node))
    const isSamePlace = context === this.#context
    this.#context = context
    const dirty = this.#follow(next)
    if (!isSamePlace) for (const key of next.servicePorts.keys()) dirty.add(key)
    if (nowMs !== undefined) for (const key of this.#slowStart.due(nowMs)) dirty.add(key)
    for (const key of dirty) this.#draft(key, { next, context, nowMs })
    for (const key of this.#guard.settle(next.endpoints)) dirty.add(key)
    for (const key of dirty) this.#claim(key, { next, context })
    for (const key of this.#claims.settle()) dirty.add(key)
    const ports = (this.#forwarding?.ports ?? ShardedMap.empty<ServicePortKey, PortForwarding>()).with(
      this.#finish(dirty, next),
    )
    return this.#answer(ports, this.#nodeForwarding(snapshot.node, next.serviceCidrs))
  }

  /** Frontends that were asked for and are left out, as of the last `decide`; sorted by service port. */
  conflicts(): readonly Conflict[] {
    return [...this.#conflicts].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, conflicts]) => conflicts)
  }

  /** When `decide` would answer differently without any change of the cluster; `undefined`: never. */
  nextChangeMs(): number | undefined {
    return this.#slowStart.nextChangeMs()
  }

  /** Brings the indexes up to the snapshot, and returns every service port that it touches. */
  #follow(next: FamilySnapshot): Set<ServicePortKey> {
    const dirty = new Set<ServicePortKey>()
    for (const { key, from, to } of this.#snapshot.servicePorts.changesTo(next.servicePorts)) {
      dirty.add(key)
      this.#guard.servicePortChanged(key, from, to)
    }
    for (const { key, from, to } of this.#snapshot.endpoints.changesTo(next.endpoints)) {
      dirty.add(key)
      this.#guard.endpointsChanged(key, from, to)
    }
    this.#snapshot = next
    return dirty
  }

  #draft(
    key: ServicePortKey,
    from: {
      readonly next: FamilySnapshot
      readonly context: PortContext
      readonly nowMs: number | undefined
    },
  ): void {
    const servicePort = from.next.servicePorts.get(key)
    if (servicePort === undefined) {
      this.#drafts.delete(key)
      this.#slowStart.forget(key)
      return
    }
    const endpoints = from.next.endpoints.get(key) ?? []
    const built = buildPort(servicePort, endpoints, from.context)
    const draft = this.#weighted(built, servicePort.wishes.slowStartSeconds, from.nowMs)
    this.#drafts.set(key, keepParts(this.#drafts.get(key), draft))
  }

  #weighted(port: PortForwarding, seconds: number | undefined, nowMs: number | undefined): PortForwarding {
    if (seconds === undefined || nowMs === undefined) {
      this.#slowStart.forget(port.key)
      return port
    }
    const share = this.#slowStart.observe(port.key, [...port.pools.cluster, ...port.pools.local], {
      nowMs,
      seconds,
    })
    const weigh = (target: Target): Target => ({
      ...target,
      weight: scaledWeight(target.weight, share(target)),
    })
    return { ...port, pools: { cluster: port.pools.cluster.map(weigh), local: port.pools.local.map(weigh) } }
  }

  /** Enters the frontends that the port may have into the claims, and notes those it may not. */
  #claim(key: ServicePortKey, from: { readonly next: FamilySnapshot; readonly context: PortContext }): void {
    const draft = this.#drafts.get(key)
    const servicePort = from.next.servicePorts.get(key)
    if (draft === undefined || servicePort === undefined) {
      this.#refused.delete(key)
      this.#claims.withdraw(key)
      return
    }
    const { uid, createdMs } = servicePort
    const rules = { externalIpCidrs: this.#options.externalIpCidrs, primaryIp: from.context.primaryIp }
    const refused: Conflict[] = []
    const allowed = draft.frontends.filter((frontend) => {
      const refusal = this.#guard.refusal(draft, frontend, { endpoints: from.next.endpoints, rules })
      if (refusal !== undefined) refused.push(conflictOf({ port: draft, uid }, frontend, refusal))
      return refusal === undefined
    })
    if (refused.length === 0) this.#refused.delete(key)
    else this.#refused.set(key, refused)
    this.#claims.set({ port: draft, uid, createdMs }, allowed)
  }

  /** The final forwarding of each of these service ports; notes their conflicts. */
  #finish(
    keys: Iterable<ServicePortKey>,
    next: FamilySnapshot,
  ): [ServicePortKey, PortForwarding | undefined][] {
    const changes: [ServicePortKey, PortForwarding | undefined][] = []
    const conflicts: [ServicePortKey, readonly Conflict[] | undefined][] = []
    for (const key of keys) {
      const draft = this.#drafts.get(key)
      const found = draft === undefined ? [] : this.#conflictsOf(draft, next.servicePorts.get(key))
      conflicts.push([key, found.length === 0 ? undefined : keepIdentity(this.#conflicts.get(key), found)])
      const final = draft === undefined || found.length === 0 ? draft : without(draft, found)
      changes.push([
        key,
        final === undefined ? undefined : keepParts(this.#forwarding?.ports.get(key), final),
      ])
    }
    this.#conflicts = this.#conflicts.with(conflicts)
    return changes
  }

  #conflictsOf(draft: PortForwarding, servicePort: ServicePort | undefined): readonly Conflict[] {
    const refused = this.#refused.get(draft.key) ?? []
    const losses = this.#claims.lossesOf(draft.key)
    if (losses.size === 0) return refused
    const uid = servicePort?.uid ?? ''
    const lost = draft.frontends.flatMap((frontend) => {
      const owner = losses.get(frontend)
      return owner === undefined
        ? []
        : [conflictOf({ port: draft, uid }, frontend, { reason: 'taken', owner })]
    })
    return [...refused, ...lost]
  }

  #answer(ports: Forwarding['ports'], node: NodeForwarding): Forwarding {
    const before = this.#forwarding
    if (before === undefined || before.ports !== ports || before.node !== node)
      this.#forwarding = { family: this.#options.family, ports, node }
    return this.#forwarding ?? { family: this.#options.family, ports, node }
  }

  #contextOf(node: NodeView): PortContext {
    const { family, hasDetector, masqueradeAll } = this.#options
    const place = { name: node.name, zone: node.zone }
    return { hasDetector, masqueradeAll, primaryIp: node.primaryIps[family], place }
  }

  #nodeForwarding(node: NodeView, serviceCidrs: readonly Cidr[]): NodeForwarding {
    const { family, nodePortAddresses, localhostNodePorts } = this.#options
    return keepIdentity(this.#forwarding?.node, {
      ...nodePortScope(nodePortAddresses, node, { family, localhostNodePorts }),
      localIps: node.localIps.filter((ip) => familyOf(ip) === family),
      primaryIp: node.primaryIps[family],
      serviceCidrs,
    })
  }
}

function without(port: PortForwarding, conflicts: readonly Conflict[]): PortForwarding {
  const isLost = (frontend: Frontend): boolean =>
    conflicts.some(({ frontend: lost }) => lost.ip === frontend.ip && lost.port === frontend.port)
  return { ...port, frontends: port.frontends.filter((frontend) => !isLost(frontend)) }
}

/** The old object if nothing differs; else the new one with every part of the old one that says the same. */
function keepParts(before: PortForwarding | undefined, next: PortForwarding): PortForwarding {
  if (before === undefined || before === next) return next
  const kept: PortForwarding = {
    ...next,
    frontends: keepIdentity(before.frontends, next.frontends),
    pools: keepIdentity(before.pools, next.pools),
    servingEndpoints: keepIdentity(before.servingEndpoints, next.servingEndpoints),
  }
  return keepIdentity(before, kept)
}
