/**
 * What is in the kernel as a value, and the difference of two such values.
 *
 * A backend's objects are grouped into fragments by what caused them (one per service port, some for shared parts).
 * The planner returns the identical fragment for unchanged input, so a comparison costs as much as the change.
 */
import { ShardedMap } from '../collections/sharded-map.ts'

/** The smallest thing a backend can put into or take out of the kernel: a chain, a set element, a real server. */
export interface KernelObject {
  readonly kind: string
  /** Unique over the whole state of one backend and family. */
  readonly key: string
  /** Two objects of one key are the same iff their texts are equal. */
  readonly text: string
}

export type Fragment<O extends KernelObject> = ReadonlyMap<string, O>
/** Precondition of `diffState`: an object key occurs in one fragment only. */
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

export function isEmpty(changes: Changes<KernelObject>): boolean {
  return changes.created.length + changes.updated.length + changes.removed.length === 0
}

/** want − have. Objects that moved to another fragment unchanged are no change. */
export function diffState<O extends KernelObject>(want: KernelState<O>, have: KernelState<O>): Changes<O> {
  const { wanted, present } = differingObjects(want, have)
  const created: O[] = []
  const updated: { from: O; to: O }[] = []
  for (const [key, to] of wanted) {
    const from = present.get(key)
    if (from === undefined) created.push(to)
    else if (from.text !== to.text || from.kind !== to.kind) updated.push({ from, to })
  }
  const removed = [...present.values()].filter((object) => !wanted.has(object.key))
  return { created, updated, removed }
}

/** The objects of all fragments that are not identical in both states. */
function differingObjects<O extends KernelObject>(want: KernelState<O>, have: KernelState<O>) {
  const wanted = new Map<string, O>()
  const present = new Map<string, O>()
  for (const { from, to } of have.changesTo(want)) {
    for (const [key, object] of from ?? []) if (to?.get(key) !== object) present.set(key, object)
    for (const [key, object] of to ?? []) if (from?.get(key) !== object) wanted.set(key, object)
  }
  return { wanted, present }
}
