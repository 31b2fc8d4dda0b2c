/**
 * From the decision to iptables objects.
 *
 * What one service port causes (its pools, its entries in the dispatch trees) depends on nothing else and is memoised
 * by the identity of its `PortForwarding`. The trees are persistent values, so their branches are compared by identity
 * too. A plan therefore costs as much as the difference to the plan before; the first one, and one for another node
 * setting, simply have everything as difference. The result depends on the argument alone (a property test says so).
 */
import { ShardedMap } from '../../collections/sharded-map.ts'
import type { Forwarding, PortForwarding } from '../../forwarding/forwarding.ts'
import type { ServicePortKey } from '../../model/service-port.ts'
import {
  EMPTY_TREE,
  type Entry,
  type TreeNode,
  changedNodes,
  treeOf,
  withEntry,
  withoutEntry,
} from '../../netfilter/iptables/dispatch-tree.ts'
import { type Fragment, type KernelState, emptyState, fragmentOf } from '../../netfilter/kernel-state.ts'
import type { BackendOptions } from '../backend.ts'
import { type Entries, type TreeName, planFrontends } from './plan-frontends.ts'
import { type BackendObject, type SetSupport, affinitySet } from './objects.ts'
import { TREES, type Trees, chainOf, planNode, rootChain, treeNodeChain } from './plan-node.ts'
import { affinitySets, planPools } from './plan-pools.ts'

type State = KernelState<BackendObject>
type FragmentChange = readonly [string, Fragment<BackendObject> | undefined]

interface PortPlan {
  readonly fragment: Fragment<BackendObject>
  readonly entries: Entries
}

interface Planned {
  readonly forwarding: Forwarding | undefined
  readonly trees: Trees
  readonly state: State
}

const TREE_NAMES = Object.keys(TREES) as readonly TreeName[]
const NO_TREES = Object.fromEntries(TREE_NAMES.map((name) => [name, EMPTY_TREE])) as unknown as Trees
const NOTHING: Planned = { forwarding: undefined, trees: NO_TREES, state: emptyState() }
/** From this many entries on, building a tree anew is cheaper than adding them one by one. */
const BULK = 1000

export class IptablesPlanner {
  readonly #options: BackendOptions
  readonly #sets: SetSupport
  readonly #plans = new WeakMap<PortForwarding, PortPlan>()
  #last: Planned = NOTHING

  constructor(options: BackendOptions, sets: SetSupport) {
    this.#options = options
    this.#sets = sets
  }

  plan(forwarding: Forwarding): State {
    if (forwarding !== this.#last.forwarding) this.#last = this.#next(this.#last, forwarding)
    return this.#last.state
  }

  #next(last: Planned, forwarding: Forwarding): Planned {
    const changes: FragmentChange[] = []
    const entries = new EntryChanges()
    for (const { key, from, to } of portChanges(last, forwarding)) {
      const plan = to === undefined ? undefined : this.#portPlan(to)
      for (const [tree, entry] of from === undefined ? [] : this.#portPlan(from).entries)
        entries.remove(tree, entry)
      for (const [tree, entry] of plan?.entries ?? []) entries.set(tree, entry)
      changes.push([
        `port ${key}`,
        plan === undefined || plan.fragment.size === 0 ? undefined : plan.fragment,
      ])
    }
    const trees = Object.fromEntries(
      TREE_NAMES.map((name) => [name, entries.applyTo(name, last.trees[name])]),
    ) as unknown as Trees
    for (const name of TREE_NAMES) {
      if (trees[name] !== last.trees[name]) changes.push(...treeChanges(name, last, { trees, forwarding }))
    }
    changes.push(...this.#nodeChanges(last, { trees, forwarding }))
    return { forwarding, trees, state: last.state.with(changes) }
  }

  #portPlan(port: PortForwarding): PortPlan {
    const known = this.#plans.get(port)
    if (known !== undefined) return known
    const { entries, chains } = planFrontends(port, this.#options)
    const context = { port, detector: this.#options.detector }
    const pools = planPools(context, this.#sets)
    const names = this.#sets === 'ipset' ? affinitySets(context) : []
    const sets = names.map((name) => affinitySet(name, port.family))
    const plan = { entries, fragment: fragmentOf<BackendObject>([...pools, ...chains, ...sets]) }
    this.#plans.set(port, plan)
    return plan
  }

  /** Roots of trees stand in entry chains, which also depend on the node. */
  *#nodeChanges(last: Planned, next: Omit<Planned, 'state'> & { forwarding: Forwarding }) {
    const { trees, forwarding } = next
    const nodeChanged = last.forwarding?.node !== forwarding.node
    if (nodeChanged) {
      const fragment = fragmentOf(planNode(forwarding.node, this.#options, this.#sets))
      yield ['node', keptIfEqual(last.state.get('node'), fragment)] as FragmentChange
    }
    for (const name of TREE_NAMES) {
      const { nodePorts } = TREES[name]
      const changed =
        trees[name] !== last.trees[name] ||
        (nodePorts !== undefined && trees[nodePorts].size > 0 !== last.trees[nodePorts].size > 0)
      if (!changed && !nodeChanged) continue
      const key = `root ${name}`
      const fragment = fragmentOf<BackendObject>([rootChain(name, trees, forwarding)])
      yield [key, keptIfEqual(last.state.get(key), fragment)] as FragmentChange
    }
  }
}

function portChanges(last: Planned, forwarding: Forwarding) {
  const before = last.forwarding?.ports ?? ShardedMap.empty<ServicePortKey, PortForwarding>()
  return before.changesTo(forwarding.ports)
}

function* treeChanges(
  name: TreeName,
  last: Planned,
  next: { readonly trees: Trees; readonly forwarding: Forwarding },
): Generator<FragmentChange> {
  const { family } = next.forwarding
  const { added, removed } = changedNodes(last.trees[name], next.trees[name])
  const key = (node: TreeNode) => `tree ${name} ${chainOf(name, node, family)}`
  const written = new Set<string>()
  for (const node of added) {
    written.add(key(node))
    yield [key(node), fragmentOf<BackendObject>([treeNodeChain(name, node, family)])]
  }
  for (const node of removed) {
    if (!written.has(key(node))) yield [key(node), undefined]
  }
}

/** The fragment before, when the new one says the same. */
function keptIfEqual(
  before: Fragment<BackendObject> | undefined,
  after: Fragment<BackendObject>,
): Fragment<BackendObject> {
  if (before?.size !== after.size) return after
  for (const [key, object] of after) if (before.get(key)?.text !== object.text) return after
  return before
}

/** Entries that come and go, by tree: an entry that goes from one service port to another is set, not removed. */
class EntryChanges {
  readonly #set = new Map<TreeName, Map<string, Entry>>()
  readonly #removed = new Map<TreeName, Map<string, Entry>>()

  set(tree: TreeName, entry: Entry): void {
    mapIn(this.#set, tree).set(entry.id, entry)
  }

  remove(tree: TreeName, entry: Entry): void {
    mapIn(this.#removed, tree).set(entry.id, entry)
  }

  applyTo(name: TreeName, tree: TreeNode): TreeNode {
    const set = this.#set.get(name) ?? new Map<string, Entry>()
    let next = tree
    for (const [id, entry] of this.#removed.get(name) ?? [])
      if (!set.has(id)) next = withoutEntry(next, entry)
    if (next === EMPTY_TREE && set.size > BULK) return treeOf([...set.values()])
    for (const entry of set.values()) next = withEntry(next, entry)
    return next
  }
}

function mapIn(maps: Map<TreeName, Map<string, Entry>>, name: TreeName): Map<string, Entry> {
  const present = maps.get(name)
  if (present !== undefined) return present
  const made = new Map<string, Entry>()
  maps.set(name, made)
  return made
}
