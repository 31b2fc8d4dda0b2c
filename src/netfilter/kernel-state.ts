/**
 * What is in the kernel as a value, and the difference of two such values.
 *
 * A backend's objects are grouped into fragments by what caused them (one per service port, some for shared parts).
 * The planner returns the identical fragment for unchanged input, so a comparison costs as much as the change.
 */
import { type MapChange, ShardedMap } from '../collections/sharded-map.ts'
import { atOnce, forEachSliced, type Sliced } from '../collections/sliced.ts'

/** The smallest thing a backend can put into or take out of the kernel: a chain, a set element, a real server. */
export interface KernelObject {
  readonly kind: string
  /** Unique over the whole state of one backend and family. */
  readonly key: string
  /** Two objects of one key are the same iff their texts are equal. */
  readonly text: string
}

/** A setting of the node: every kernel has it, with some value, and giving it another takes nothing from a Service. */
export function isSetting({ kind }: KernelObject): boolean {
  return kind === 'sysctl'
}

export type Fragment<O extends KernelObject> = ReadonlyMap<string, O>
/** Precondition of a difference: an object key occurs in one fragment only. */
export type KernelState<O extends KernelObject> = ShardedMap<string, Fragment<O>>

export interface Changes<O extends KernelObject> {
  readonly created: readonly O[]
  readonly updated: readonly { readonly from: O; readonly to: O }[]
  readonly removed: readonly O[]
}

export function emptyState<O extends KernelObject>(): KernelState<O> {
  return ShardedMap.empty()
}

/** One fragment under one name: the form of what `observe` reads back, where causes are unknown. */
export function observedState<O extends KernelObject>(objects: Iterable<O>): KernelState<O> {
  const fragment = new Map<string, O>()
  for (const object of objects) fragment.set(object.key, object)
  return ShardedMap.of([['observed', fragment]])
}

export function fragmentOf<O extends KernelObject>(objects: Iterable<O>): Fragment<O> {
  const fragment = new Map<string, O>()
  for (const object of objects) fragment.set(object.key, object)
  return fragment
}

export function objectsOf<O extends KernelObject>(state: KernelState<O>): readonly O[] {
  return [...state.values()].flatMap((fragment) => [...fragment.values()])
}

export function isEmpty(changes: Changes<KernelObject>): boolean {
  return changes.created.length + changes.updated.length + changes.removed.length === 0
}

/** want − have. Objects that moved to another fragment unchanged are no change. */
export function* slicedDiff<O extends KernelObject>(
  want: KernelState<O>,
  have: KernelState<O>,
): Sliced<Changes<O>> {
  const wanted = yield* differingObjects(have.changesTo(want), 'to')
  const present = yield* differingObjects(have.changesTo(want), 'from')
  const created: O[] = []
  const updated: { from: O; to: O }[] = []
  yield* forEachSliced(wanted.values(), (to) => {
    const from = present.get(to.key)
    if (from === undefined) created.push(to)
    else if (from.text !== to.text || from.kind !== to.kind) updated.push({ from, to })
  })
  const removed: O[] = []
  yield* forEachSliced(present.values(), (object) => {
    if (!wanted.has(object.key)) removed.push(object)
  })
  return { created, updated, removed }
}

/** `slicedDiff` without a pause. */
export function diffState<O extends KernelObject>(want: KernelState<O>, have: KernelState<O>): Changes<O> {
  return atOnce(slicedDiff(want, have))
}

type FragmentChanges<O extends KernelObject> = Iterable<MapChange<string, Fragment<O>>>

/** By key, the objects of this side that are not identical in the fragment of the same name on the other side. */
function* differingObjects<O extends KernelObject>(
  changes: FragmentChanges<O>,
  side: 'from' | 'to',
): Sliced<ReadonlyMap<string, O>> {
  const differing = new Map<string, O>()
  yield* forEachSliced(objectsThatDiffer(changes, side), (object) => differing.set(object.key, object))
  return differing
}

function* objectsThatDiffer<O extends KernelObject>(
  changes: FragmentChanges<O>,
  side: 'from' | 'to',
): Iterable<O> {
  for (const change of changes) {
    const other = side === 'from' ? change.to : change.from
    for (const [key, object] of change[side] ?? []) if (other?.get(key) !== object) yield object
  }
}
