/**
 * Several keys under one text, as an index: almost every text has exactly one key, so that one is kept bare and a list
 * is made only for the second.
 */
export class KeyIndex<K extends string> {
  readonly #keys = new Map<string, K | K[]>()

  /** Adding a key twice changes nothing. */
  add(text: string, key: K): void {
    const known = this.#keys.get(text)
    if (known === undefined) this.#keys.set(text, key)
    else if (Array.isArray(known)) {
      if (!known.includes(key)) known.push(key)
    } else if (known !== key) this.#keys.set(text, [known, key])
  }

  delete(text: string, key: K): void {
    const known = this.#keys.get(text)
    if (known === key) this.#keys.delete(text)
    else if (Array.isArray(known)) {
      const rest = known.filter((one) => one !== key)
      const [only] = rest
      if (rest.length === 1 && only !== undefined) this.#keys.set(text, only)
      else this.#keys.set(text, rest)
    }
  }

  /** Takes all keys of the text out. */
  clear(text: string): void {
    this.#keys.delete(text)
  }

  /** In no particular order. */
  get(text: string): readonly K[] {
    const known = this.#keys.get(text)
    if (known === undefined) return []
    return Array.isArray(known) ? known : [known]
  }

  has(text: string): boolean {
    return this.#keys.has(text)
  }
}
