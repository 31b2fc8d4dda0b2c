/**
 * An immutable map whose updates copy one shard instead of everything.
 *
 * Every stage of the pipeline hands its result to the next one as a value. With tens of thousands of Services a plain
 * `new Map(previous)` per change would cost more than the change; here an update copies one shard of a few dozen
 * entries, and `changedKeys` skips every shard that two maps share. Iteration order is unspecified but deterministic
 * for one content and history; whoever renders text sorts.
 */
const SHARDS = 1024

/** FNV-1a over UTF-16 units: cheap and even enough for the names that Kubernetes allows. */
function shardOf(key: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return (hash >>> 0) % SHARDS
}

type Shard<V> = ReadonlyMap<string, V>
const EMPTY_SHARD: ReadonlyMap<string, never> = new Map<string, never>()
const EMPTY_SHARDS: readonly ReadonlyMap<string, never>[] = new Array<ReadonlyMap<string, never>>(
  SHARDS,
).fill(EMPTY_SHARD)

/** One key that differs between two maps; `undefined` stands for "absent". */
export interface MapChange<K, V> {
  readonly key: K
  readonly from: V | undefined
  readonly to: V | undefined
}

export class ShardedMap<K extends string, V> {
  readonly #shards: readonly Shard<V>[]
  readonly size: number

  private constructor(shards: readonly Shard<V>[], size: number) {
    this.#shards = shards
    this.size = size
  }

  static empty<K extends string, V>(): ShardedMap<K, V> {
    return new ShardedMap<K, V>(EMPTY_SHARDS, 0)
  }

  static of<K extends string, V>(entries: Iterable<readonly [K, V]>): ShardedMap<K, V> {
    return ShardedMap.empty<K, V>().with(entries)
  }

  get(key: K): V | undefined {
    return this.#shard(shardOf(key)).get(key)
  }

  has(key: K): boolean {
    return this.#shard(shardOf(key)).has(key)
  }

  /**
   * The map with these entries set, or removed where the value is `undefined`. Shards without a difference (by
   * identity of the value) are shared with this map; without any difference the result is this map itself.
   */
  with(changes: Iterable<readonly [K, V | undefined]>): ShardedMap<K, V> {
    const copies = new Map<number, Map<string, V>>()
    let size = this.size
    for (const [key, value] of changes) {
      const index = shardOf(key)
      const current = copies.get(index) ?? this.#shard(index)
      const before = current.get(key)
      if (before === value) continue
      const copy = copies.get(index) ?? new Map(current)
      copies.set(index, copy)
      if (value === undefined) copy.delete(key)
      else copy.set(key, value)
      size += Number(value !== undefined) - Number(before !== undefined)
    }
    if (copies.size === 0) return this
    const shards = this.#shards.slice()
    for (const [index, copy] of copies) shards[index] = copy
    return new ShardedMap<K, V>(shards, size)
  }

  *entries(): IterableIterator<[K, V]> {
    for (const shard of this.#shards) yield* shard.entries() as IterableIterator<[K, V]>
  }

  *keys(): IterableIterator<K> {
    for (const shard of this.#shards) yield* shard.keys() as IterableIterator<K>
  }

  *values(): IterableIterator<V> {
    for (const shard of this.#shards) yield* shard.values()
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries()
  }

  /** Every key whose value is not the identical one in `next`; shards that both maps share cost nothing. */
  *changesTo(next: ShardedMap<K, V>): IterableIterator<MapChange<K, V>> {
    for (let index = 0; index < SHARDS; index++) {
      const from = this.#shard(index)
      const to = next.#shard(index)
      if (from === to) continue
      for (const [key, value] of from) {
        const other = to.get(key)
        if (other !== value) yield { key: key as K, from: value, to: other }
      }
      for (const [key, value] of to) if (!from.has(key)) yield { key: key as K, from: undefined, to: value }
    }
  }

  #shard(index: number): Shard<V> {
    return this.#shards[index] ?? EMPTY_SHARD
  }
}
