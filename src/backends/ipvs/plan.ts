/**
 * Forwarding → what shall be in the kernel. Incremental by identity: only service ports that are another object than
 * last time are planned again; a change of the node's addresses plans everything anew.
 *
 * State keys: `port <service port>` for what is one service port's own, `shared <object>` for what several need (a
 * ClusterIP with three ports is one address), `glue` and `ranges` for the rules.
 */
import { ShardedMap } from '../../collections/sharded-map.ts'
import type { Forwarding, NodeForwarding, PortForwarding } from '../../forwarding/forwarding.ts'
import type { ServicePortKey } from '../../model/service-port.ts'
import type { Family, Ip } from '../../net/ip.ts'
import type { IptablesObject } from '../../netfilter/iptables/chain.ts'
import { type Fragment, type KernelState, emptyState, fragmentOf } from '../../netfilter/kernel-state.ts'
import type { BackendOptions } from '../backend.ts'
import { serverMark } from './names.ts'
import { planGlue, planRangeChains } from './plan-glue.ts'
import { type IpvsObject, type PortContext, type PortPlan, planPort } from './plan-port.ts'
import type { RangePlan } from './plan-range.ts'
import type { SchedulerContext } from './plan-scheduler.ts'

export interface IpvsPlannerOptions {
  readonly options: BackendOptions
  readonly nodeName: string
}

type Change = readonly [string, Fragment<IpvsObject> | undefined]

export class IpvsPlanner {
  readonly #options: IpvsPlannerOptions
  readonly #plans = new Map<ServicePortKey, PortPlan>()
  readonly #shared = new Map<string, { object: IpvsObject; users: number }>()
  readonly #ranges = new Map<ServicePortKey, readonly RangePlan[]>()
  readonly #marks = new Marks()
  #context: PortContext | undefined
  #contextKey = ''
  #addressCount = 0
  #node: NodeForwarding | undefined
  #ports: Forwarding['ports'] = ShardedMap.empty()
  #state: KernelState<IpvsObject> = emptyState()

  constructor(options: IpvsPlannerOptions) {
    this.#options = options
  }

  get family(): Family {
    return this.#options.options.family
  }

  /** The addresses that the last plan makes local. */
  *localIps(): Generator<Ip> {
    for (const { object } of this.#shared.values()) if (object.kind === 'local-route') yield object.ip
  }

  /** All chains and jumps of the last plan. */
  *rules(): Generator<IptablesObject> {
    for (const part of ['glue', 'ranges'])
      for (const object of this.#state.get(part)?.values() ?? []) if (isRule(object)) yield object
  }

  /** How many addresses the last plan makes local. */
  get addressCount(): number {
    return this.#addressCount
  }

  /** Selectors of all virtual servers of the last plan. */
  selectors(): ReadonlySet<string> {
    const found = new Set<string>()
    for (const { fragment } of this.#plans.values())
      for (const object of fragment.values()) if (object.kind === 'virtual-server') found.add(object.selector)
    return found
  }

  /** The service port behind each virtual server of the last plan, by selector. */
  owners(): ReadonlyMap<string, ServicePortKey> {
    const found = new Map<string, ServicePortKey>()
    for (const [port, { fragment }] of this.#plans)
      for (const object of fragment.values())
        if (object.kind === 'virtual-server') found.set(object.selector, port)
    return found
  }

  /** The service port that an object of the last plan belongs to. */
  ownerOf(key: string): ServicePortKey | undefined {
    for (const [port, { fragment, shared }] of this.#plans)
      if (fragment.has(key) || shared.some((object) => object.key === key)) return port
    return undefined
  }

  plan(forwarding: Forwarding, schedulers: SchedulerContext): KernelState<IpvsObject> {
    const changes = this.#adopt(forwarding.node, schedulers)
    let rangesChanged = false
    const touched = new Set<string>()
    for (const { key, to } of this.#ports.changesTo(forwarding.ports)) {
      const before = this.#plans.get(key)
      const after = to === undefined ? undefined : this.#planOne(to)
      rangesChanged ||= (before?.ranges.length ?? 0) + (after?.ranges.length ?? 0) > 0
      this.#replace(key, { before, after, touched })
      changes.push([`port ${key}`, after?.fragment])
    }
    for (const key of touched) changes.push([`shared ${key}`, this.#sharedFragment(key)])
    if (rangesChanged || this.#ports.size === 0) changes.push(['ranges', this.#rangeFragment()])
    this.#ports = forwarding.ports
    this.#state = this.#state.with(changes)
    return this.#state
  }

  /** Takes over what concerns the node; when it differs, all is planned from nothing. */
  #adopt(node: NodeForwarding, schedulers: SchedulerContext): Change[] {
    if (node === this.#node && schedulers === this.#context?.schedulers) return []
    const context = this.#contextFor(node, schedulers)
    const contextKey = JSON.stringify([
      context.nodePortIps,
      [...context.localIps],
      context.source,
      node.serviceCidrs,
      schedulers.defaultScheduler,
      [...schedulers.unavailable],
    ])
    this.#node = node
    const isSame = contextKey === this.#contextKey
    this.#context = isSame && this.#context !== undefined ? { ...this.#context, schedulers } : context
    if (isSame) return []
    this.#contextKey = contextKey
    this.#forget()
    const { nodePortIps } = context
    const glue = planGlue(this.#options.options, { nodePortIps, serviceCidrs: node.serviceCidrs })
    return [['glue', fragmentOf<IpvsObject>(glue)]]
  }

  #contextFor(node: NodeForwarding, schedulers: SchedulerContext): PortContext {
    const { options, nodeName } = this.#options
    const { detector, family, masqueradeMark } = options
    const localIps = new Set(node.localIps)
    const { primaryIp } = node
    return {
      family,
      hasDetector: detector !== undefined,
      masqueradeMark,
      nodePortIps: nodePortIps(node),
      localIps,
      // The kernel refuses a preferred source that no interface has.
      source: primaryIp !== undefined && localIps.has(primaryIp) ? primaryIp : undefined,
      schedulers,
      seed: nodeName,
      markOf: (owner, name) => this.#marks.markOf(owner, name, masqueradeMark),
    }
  }

  #forget(): void {
    this.#plans.clear()
    this.#shared.clear()
    this.#addressCount = 0
    this.#ranges.clear()
    this.#ports = ShardedMap.empty()
    this.#state = emptyState()
  }

  #planOne(port: PortForwarding): PortPlan {
    if (this.#context === undefined) throw new Error('A port was planned before the node')
    return planPort(port, this.#context)
  }

  #replace(
    key: ServicePortKey,
    change: { before: PortPlan | undefined; after: PortPlan | undefined; touched: Set<string> },
  ): void {
    const { before, after, touched } = change
    for (const object of after?.shared ?? []) this.#use(object, touched)
    for (const object of before?.shared ?? []) this.#release(object, touched)
    if (after === undefined) {
      this.#plans.delete(key)
      this.#ranges.delete(key)
      this.#marks.release(key)
      return
    }
    this.#plans.set(key, after)
    if (after.ranges.length > 0) this.#ranges.set(key, after.ranges)
    else this.#ranges.delete(key)
  }

  #use(object: IpvsObject, touched: Set<string>): void {
    const known = this.#shared.get(object.key)
    if (known !== undefined) {
      known.users++
      return
    }
    this.#shared.set(object.key, { object, users: 1 })
    this.#addressCount += Number(object.kind === 'local-route')
    touched.add(object.key)
  }

  #release(object: IpvsObject, touched: Set<string>): void {
    const known = this.#shared.get(object.key)
    if (known === undefined || --known.users > 0) return
    this.#shared.delete(object.key)
    this.#addressCount -= Number(object.kind === 'local-route')
    touched.add(object.key)
  }

  #sharedFragment(key: string): Fragment<IpvsObject> | undefined {
    const object = this.#shared.get(key)?.object
    return object && fragmentOf([object])
  }

  #rangeFragment(): Fragment<IpvsObject> {
    const { masqueradeMark } = this.#options.options
    return fragmentOf<IpvsObject>(planRangeChains([...this.#ranges.values()].flat(), masqueradeMark))
  }
}

function isRule(object: IpvsObject): object is IptablesObject {
  return object.kind === 'chain' || object.kind === 'shared-rule' || object.kind === 'shared-chain'
}

/** NodePorts never answer on loopback in this mode: IPVS has no packets there. */
function nodePortIps(node: NodeForwarding): readonly Ip[] {
  const ips = node.nodePorts.scope === 'all' ? node.localIps : node.nodePorts.ips
  return ips.filter((ip) => ip !== '::1' && !ip.startsWith('127.') && !ip.startsWith('fe80:'))
}

/** One mark for each name that asks, and never the same for two. A mark stays with its name. */
class Marks {
  /** By owner, so that giving back what is one's own costs nothing more. */
  readonly #marksByOwner = new Map<ServicePortKey, Map<string, number>>()
  readonly #taken = new Set<number>()

  markOf(owner: ServicePortKey, name: string, reserved: number): number {
    const own = this.#marksByOwner.get(owner) ?? new Map<string, number>()
    const known = own.get(name)
    if (known !== undefined) return known
    let attempt = 0
    while (this.#taken.has(serverMark(name, attempt, reserved))) attempt++
    const mark = serverMark(name, attempt, reserved)
    this.#marksByOwner.set(owner, own.set(name, mark))
    this.#taken.add(mark)
    return mark
  }

  release(owner: ServicePortKey): void {
    for (const mark of this.#marksByOwner.get(owner)?.values() ?? []) this.#taken.delete(mark)
    this.#marksByOwner.delete(owner)
  }
}
