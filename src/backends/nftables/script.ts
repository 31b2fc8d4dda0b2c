/**
 * From changes to transactions of `nft -f -`.
 *
 * An ordinary change is one transaction. Three things need more than one.
 *
 * A packet that is on its way while a transaction is committed goes on with the rules of before, but finds the elements
 * of after: an element may lead it to a chain that has no rules yet for it (seen in Linux 6.18: one connection in
 * 90,000 was refused while shapes changed forty times a second). So chains are there before the transaction whose elements lead to them. A
 * chain can be deleted only when the kernel has let go of the elements that led to it (before Linux 6.2 that is a moment
 * after the commit), so chains that nobody needs go after it. And a very large change is cut, because the kernel holds
 * its lock, and nft the memory, for a whole transaction; then the order keeps every packet answered: first what is
 * referred to, then what refers, then what goes.
 */
import { forEachSliced, type Sliced } from '../../collections/sliced.ts'
import type { Changes } from '../../netfilter/kernel-state.ts'
import { ScriptRenderer, type TableName } from '../../netfilter/nftables/render-script.ts'
import {
  type ChainObject,
  type ContainerObject,
  type ElementObject,
  type NftObject,
  partsOf,
} from '../../netfilter/nftables/ruleset.ts'
import type { KernelScript, ScriptStep } from '../backend.ts'
import * as names from './names.ts'
import type { BackendObject } from './plan-node.ts'

/** Elements in one transaction of a large change: 0.1 s of work for the kernel, 30 MB for nft. */
export const ELEMENTS_PER_TRANSACTION = 20_000

/** Step that removes chains: refused as busy until the kernel has let go of the elements before it. */
export const REMOVE_PURPOSE = 'remove chains that nobody needs'
const STRUCTURE_PURPOSE = 'write sets, maps and chains'

export function* scriptFor(changes: Changes<BackendObject>, table: TableName): Sliced<KernelScript> {
  const work = yield* sorted(changes)
  const steps = work.table === 'kept' ? yield* piecewise(work, table) : [yield* asAWhole(work, table)]
  return [...steps, ...removal(work, table), ...settingSteps(changes)]
}

interface Work {
  /** `replaced`: somebody else's, or an older layout of ours; nothing of it is kept. */
  readonly table: 'kept' | 'replaced'
  readonly containers: readonly ContainerObject[]
  /** Created or with other rules; the flag says which. */
  readonly chains: readonly { readonly chain: ChainObject; readonly isNew: boolean }[]
  readonly created: readonly ElementObject[]
  readonly updated: readonly { readonly from: ElementObject; readonly to: ElementObject }[]
  readonly removed: readonly ElementObject[]
  readonly goneChains: readonly ChainObject[]
  readonly goneContainers: readonly ContainerObject[]
}

function* sorted(changes: Changes<BackendObject>): Sliced<Work> {
  const created = byKind(changes.created)
  yield
  const updated = byKind(changes.updated.map(({ to }) => to))
  yield
  const removed = byKind(changes.removed)
  yield
  const replaced = updated.table !== undefined
  const whole = [...created.containers, ...updated.containers]
  const goneContainers = new Set(removed.containers.map(({ name }) => name))
  return {
    table: replaced ? 'replaced' : 'kept',
    containers: whole,
    chains: [
      ...created.chains.map((chain) => ({ chain, isNew: true })),
      ...updated.chains.map((chain) => ({ chain, isNew: false })),
    ],
    created: created.elements,
    updated: changes.updated.flatMap(({ from, to }) =>
      from.kind === 'element' && to.kind === 'element' ? [{ from, to }] : [],
    ),
    // With its set an element goes by itself.
    removed: removed.elements.filter((element) => !goneContainers.has(partsOf(element).container)),
    goneChains: removed.chains,
    goneContainers: removed.containers,
  }
}

function byKind(objects: readonly BackendObject[]) {
  const of = <K extends NftObject['kind']>(kind: K) =>
    objects.filter((object): object is Extract<NftObject, { kind: K }> => object.kind === kind)
  return {
    table: of('table')[0],
    containers: of('container'),
    chains: of('chain'),
    elements: of('element'),
  }
}

/** Takes the table over: what is there goes and what is wanted comes in the same instant. */
function* asAWhole(work: Work, table: TableName): Sliced<ScriptStep> {
  const script = new ScriptRenderer(table)
  script.addTable()
  script.deleteTable()
  addStructure(script, work)
  changeRules(script, work)
  yield* script.addElements([...work.created, ...work.updated.map(({ to }) => to)])
  return step(script, 'replace the table')
}

function* piecewise(work: Work, table: TableName): Sliced<readonly ScriptStep[]> {
  const elements = work.created.length + work.updated.length + work.removed.length
  if (elements > ELEMENTS_PER_TRANSACTION) return yield* inPieces(work, table)
  const structure = new ScriptRenderer(table)
  addStructure(structure, work)
  const script = new ScriptRenderer(table)
  changeRules(script, work)
  yield* script.deleteElements([...work.removed, ...work.updated.map(({ from }) => from)])
  yield* script.addElements([...work.created, ...work.updated.map(({ to }) => to)])
  return [...stepIfAny(structure, STRUCTURE_PURPOSE), ...stepIfAny(script, 'write changes')]
}

function* inPieces(work: Work, table: TableName): Sliced<readonly ScriptStep[]> {
  const structure = new ScriptRenderer(table)
  addStructure(structure, work)
  changeRules(structure, work)
  const onlyCreated = work.updated.length + work.removed.length === 0
  // Alone, the elements of one service port stay together, so that one after the other begins to work.
  const created = onlyCreated ? yield* sharedFirst(work.created) : byRank(work.created)
  const updated = [...work.updated].sort((a, b) => rankOf(a.to) - rankOf(b.to))
  const removed = byRank(work.removed).toReversed()
  yield
  return [
    ...stepIfAny(structure, STRUCTURE_PURPOSE),
    ...(yield* inChunks(created, (script, chunk) => script.addElements(chunk), {
      table,
      purpose: 'add elements',
    })),
    ...(yield* inChunks(
      updated,
      function* (script, chunk) {
        yield* script.deleteElements(chunk.map(({ from }) => from))
        yield* script.addElements(chunk.map(({ to }) => to))
      },
      { table, purpose: 'change elements' },
    )),
    ...(yield* inChunks(removed, (script, chunk) => script.deleteElements(chunk), {
      table,
      purpose: 'remove elements',
    })),
  ]
}

function* inChunks<T>(
  items: readonly T[],
  write: (script: ScriptRenderer, chunk: readonly T[]) => Sliced<void>,
  { table, purpose }: { readonly table: TableName; readonly purpose: string },
): Sliced<readonly ScriptStep[]> {
  const steps: ScriptStep[] = []
  for (let i = 0; i < items.length; i += ELEMENTS_PER_TRANSACTION) {
    const script = new ScriptRenderer(table)
    yield* write(script, items.slice(i, i + ELEMENTS_PER_TRANSACTION))
    steps.push(step(script, `${purpose} ${i + 1} to ${Math.min(i + ELEMENTS_PER_TRANSACTION, items.length)}`))
    yield
  }
  return steps
}

/** All chains before any rule, because rules name chains; all sets before rules and elements. */
function addStructure(script: ScriptRenderer, { containers, chains }: Work): void {
  // Without a table the first command must make one; with one it changes nothing.
  if (containers.length > 0) script.addTable()
  for (const container of containers) script.addContainer(container)
  const added = chains.filter(({ isNew }) => isNew)
  for (const { chain } of added) script.addChain(chain)
  for (const { chain } of added) script.addRules(chain)
}

function changeRules(script: ScriptRenderer, { chains }: Work): void {
  const changed = chains.filter(({ isNew }) => !isNew)
  for (const { chain } of changed) script.flushChain(chain)
  for (const { chain } of changed) script.addRules(chain)
}

function removal(work: Work, table: TableName): readonly ScriptStep[] {
  if (work.table === 'replaced') return []
  const script = new ScriptRenderer(table)
  for (const chain of work.goneChains) script.flushChain(chain)
  for (const container of work.goneContainers) script.deleteContainer(container)
  for (const chain of work.goneChains) script.deleteChain(chain)
  return stepIfAny(script, REMOVE_PURPOSE)
}

function settingSteps(changes: Changes<BackendObject>): readonly ScriptStep[] {
  const settings = [...changes.created, ...changes.updated.map(({ to }) => to)]
  return settings.flatMap((object) =>
    object.kind === 'sysctl'
      ? [{ file: 'tee', args: [`/proc/sys/${object.key}`], stdin: `${object.text}\n`, purpose: 'set sysctl' }]
      : [],
  )
}

/** Elements that other elements rely on have the smaller rank; those that open a frontend have the greatest. */
const RANKS = new Map<string, number>(
  names.SPACES.flatMap((space) => {
    const its = names.CONTAINERS[space]
    return [
      [its.firewalled, 1],
      [its.noEndpoints, 2],
      [its.services, 3],
    ] as const
  }),
)

function rankOf(element: ElementObject): number {
  return RANKS.get(partsOf(element).container) ?? 0
}

function byRank(elements: readonly ElementObject[]): readonly ElementObject[] {
  return [...elements].sort((a, b) => rankOf(a) - rankOf(b))
}

/** Sets that Services share are small and come first, but for what refuses unused ports. */
const SHARED = new Set<string>([names.HAIRPIN, names.EXTERNAL_IPS, names.NODE_PORT_IPS])
const REFUSING = new Set<string>([names.CLUSTER_IPS, names.SERVICE_CIDRS])

function* sharedFirst(elements: readonly ElementObject[]): Sliced<readonly ElementObject[]> {
  const first: ElementObject[] = []
  const middle: ElementObject[] = []
  const last: ElementObject[] = []
  yield* forEachSliced(elements, (element) => {
    const { container } = partsOf(element)
    if (SHARED.has(container)) first.push(element)
    else if (REFUSING.has(container)) last.push(element)
    else middle.push(element)
  })
  return [...first, ...middle, ...last]
}

function stepIfAny(script: ScriptRenderer, purpose: string): readonly ScriptStep[] {
  return script.toString() === '' ? [] : [step(script, purpose)]
}

function step(script: ScriptRenderer, purpose: string): ScriptStep {
  return { file: 'nft', args: ['-f', '-'], stdin: script.toString(), purpose }
}
