/**
 * From a forwarding decision to the objects of one table, incrementally.
 *
 * The state of the previous plan is brought forward by the service ports that differ, so the cost of a plan is that of
 * the change. Objects that several service ports need are counted: they come with the first and go with the last.
 * What the state says depends on the decision alone, never on the way to it.
 */
import { ShardedMap } from '../../collections/sharded-map.ts'
import type { Forwarding, NodeForwarding, PortForwarding } from '../../forwarding/forwarding.ts'
import type { ServicePortKey } from '../../model/service-port.ts'
import { type Fragment, type KernelState, emptyState, fragmentOf } from '../../netfilter/kernel-state.ts'
import type { BackendOptions } from '../backend.ts'
import { layoutObjects } from './plan-layout.ts'
import { type BackendObject, nodeObjects } from './plan-node.ts'
import { PortPlanner } from './plan-port.ts'
import { ShapePlanner } from './plan-shape.ts'
import type { Words } from './plan-words.ts'

type Entry = readonly [string, Fragment<BackendObject> | undefined]

export class NftablesPlanner {
  readonly #options: BackendOptions
  readonly #words: Words
  readonly #ports: PortPlanner
  readonly #uses = new Map<string, number>()
  #planned: ShardedMap<ServicePortKey, PortForwarding> = ShardedMap.empty()
  #node: NodeForwarding | undefined
  #state: KernelState<BackendObject> = emptyState()

  constructor(options: BackendOptions, words: Words) {
    this.#options = options
    this.#words = words
    this.#ports = new PortPlanner(this.#words, new ShapePlanner(this.#words, options))
  }

  plan(forwarding: Forwarding): KernelState<BackendObject> {
    const entries = [...this.#nodeEntries(forwarding.node), ...this.#portEntries(forwarding.ports)]
    this.#state = this.#state.with(entries)
    return this.#state
  }

  #nodeEntries(node: NodeForwarding): Entry[] {
    if (node === this.#node) return []
    const first = this.#node === undefined
    this.#node = node
    const entry: Entry = ['node', fragmentOf(nodeObjects(node, this.#words, this.#options))]
    return first
      ? [['layout', fragmentOf<BackendObject>(layoutObjects(this.#words, this.#options))], entry]
      : [entry]
  }

  #portEntries(ports: Forwarding['ports']): Entry[] {
    const entries: Entry[] = []
    const touched = new Map<string, BackendObject>()
    for (const { key, from, to } of this.#planned.changesTo(ports)) {
      if (from !== undefined) this.#count(this.#ports.sharedOf(from), -1, touched)
      const objects = to === undefined ? undefined : this.#ports.objectsOf(to)
      if (objects !== undefined) this.#count(objects.shared, 1, touched)
      entries.push([`port ${key}`, objects === undefined ? undefined : fragmentOf(objects.own)])
    }
    this.#planned = ports
    for (const [key, object] of touched) entries.push(...this.#sharedEntry(key, object))
    return entries
  }

  /** A use counts per service port: an object that one of them needs twice is counted twice, and released twice. */
  #count(objects: readonly BackendObject[], by: 1 | -1, touched: Map<string, BackendObject>): void {
    for (const object of objects) {
      const uses = (this.#uses.get(object.key) ?? 0) + by
      if (uses === 0) this.#uses.delete(object.key)
      else this.#uses.set(object.key, uses)
      touched.set(object.key, object)
    }
  }

  #sharedEntry(key: string, object: BackendObject): Entry[] {
    const name = `shared ${key}`
    const used = this.#uses.has(key)
    if (used === this.#state.has(name)) return []
    return [[name, used ? fragmentOf([object]) : undefined]]
  }
}
