/** What is in the table, as the objects that we would have planned. */
import type { Sliced } from '../../collections/sliced.ts'
import { parseList } from '../../netfilter/nftables/parse-list.ts'
import { type NftObject, aContainer, aTable } from '../../netfilter/nftables/ruleset.ts'
import * as names from './names.ts'
import { containersOf, layoutDigest } from './plan-layout.ts'
import type { Words } from './plan-words.ts'

/**
 * `text`: what `nft -n list table` printed. A table that is not laid out as ours is one object that nobody wants as it
 * is: it is replaced as a whole, whatever is in it.
 */
export function* observedObjects(text: string, words: Words): Sliced<readonly NftObject[]> {
  const layout = layoutDigest(words)
  const marker = `${names.LAYOUT_PREFIX}${layout}`
  const { chains, containers } = yield* parseList(text, names.FILLED_BY_PACKETS)
  if (!chains.some(({ name }) => name === marker)) return [aTable('another layout')]
  const declarations = new Map(containersOf(words).map(({ name, text: declared }) => [name, declared]))
  const objects: NftObject[] = [aTable(layout), ...chains]
  for (const { kind, name, elements } of containers) {
    // The layout vouches for the declaration of a set that has the right name.
    objects.push(aContainer(name, declarations.get(name) ?? `${kind} { of somebody else }`))
    if (declarations.has(name)) for (const element of elements) objects.push(element)
  }
  return objects
}
