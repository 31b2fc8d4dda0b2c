/** Finds keys by labels without looking at everything. */
type Labels = Readonly<Record<string, string>>

export class LabelIndex {
  readonly #keysByPair = new Map<string, Set<string>>()

  add(namespace: string, labels: Labels, key: string): void {
    for (const pair of pairsOf(namespace, labels)) {
      const keys = this.#keysByPair.get(pair)
      if (keys === undefined) this.#keysByPair.set(pair, new Set([key]))
      else keys.add(key)
    }
  }

  remove(namespace: string, labels: Labels, key: string): void {
    for (const pair of pairsOf(namespace, labels)) {
      const keys = this.#keysByPair.get(pair)
      keys?.delete(key)
      if (keys?.size === 0) this.#keysByPair.delete(pair)
    }
  }

  /** Keys that have all of these labels; none for no labels. */
  withAll(namespace: string, labels: Labels): readonly string[] {
    const sets = pairsOf(namespace, labels).map((pair) => this.#keysByPair.get(pair))
    const [first, ...others] = sets.toSorted((a, b) => (a?.size ?? 0) - (b?.size ?? 0))
    return [...(first ?? [])].filter((key) => others.every((set) => set?.has(key) === true))
  }

  /** Keys that have at least one of these labels. */
  withAny(namespace: string, labels: Labels): ReadonlySet<string> {
    const found = pairsOf(namespace, labels).flatMap((pair) => [...(this.#keysByPair.get(pair) ?? [])])
    return new Set(found)
  }
}

function pairsOf(namespace: string, labels: Labels): readonly string[] {
  return Object.entries(labels).map(([key, value]) => `${namespace} ${key}=${value}`)
}
