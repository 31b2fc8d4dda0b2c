/** The input of `iptables-restore --noflush`: each block is one table and is committed as a whole. */
import { type Sliced, textOfLines } from '../../collections/sliced.ts'
import type { Chain, SharedChain, SharedRule, Table } from './chain.ts'

export interface RestoreBlock {
  readonly table: Table
  /** Chains that others fill as well and that do not exist yet. */
  readonly madeToExist: readonly SharedChain[]
  /** Written anew: created if absent, else emptied first. */
  readonly written: readonly Chain[]
  /** Rules added behind what the chains hold, which is kept. */
  readonly appended: readonly { readonly name: string; readonly rules: readonly string[] }[]
  readonly deletedRules: readonly SharedRule[]
  /** Put first in their chains, so that the first of the list ends up on top. */
  readonly insertedRules: readonly SharedRule[]
  readonly removed: readonly Chain[]
}

/** An empty text when no block has content. */
export function* renderRestore(blocks: readonly RestoreBlock[]): Sliced<string> {
  let text = ''
  for (const block of blocks) {
    const lines = yield* textOfLines(linesOf(block))
    if (lines !== '') text += `*${block.table}\n${lines}COMMIT\n`
  }
  return text
}

function* linesOf(block: RestoreBlock): Iterable<string> {
  for (const { name } of block.madeToExist) yield `-N ${name}`
  // A chain line creates the chain, or empties it: also those that go, so that nothing refers to them any more.
  yield* chainLines([...block.written, ...block.removed])
  for (const { chain, rule } of block.deletedRules) yield `-D ${chain} ${rule}`
  for (const { name, rules } of [...block.written, ...block.appended])
    for (const rule of rules ?? []) yield `-A ${name} ${rule}`
  for (const { chain, rule } of block.insertedRules.toReversed()) yield `-I ${chain} 1 ${rule}`
  for (const { name } of block.removed) yield `-X ${name}`
}

/**
 * Backwards by name: iptables-nft-restore 1.8.9 keeps its chains in a sorted list that it searches from the start, so
 * any other order costs the square of their number (14,000 chains: 14 s instead of 4).
 */
function chainLines(chains: readonly Chain[]): readonly string[] {
  const names = chains.map(({ name }) => name).sort()
  return names.reverse().map((name) => `:${name} - [0:0]`)
}
