/** The input of `iptables-restore --noflush`: each block is one table and is committed as a whole. */
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
export function renderRestore(blocks: readonly RestoreBlock[]): string {
  return blocks
    .map(renderBlock)
    .filter((text) => text !== '')
    .join('')
}

function renderBlock(block: RestoreBlock): string {
  // A chain line creates the chain, or empties it: also those that go, so that nothing refers to them any more.
  const lines = [
    ...block.madeToExist.map(({ name }) => `-N ${name}`),
    ...chainLines([...block.written, ...block.removed]),
    ...block.deletedRules.map(({ chain, rule }) => `-D ${chain} ${rule}`),
    ...[...block.written, ...block.appended].flatMap(({ name, rules }) =>
      (rules ?? []).map((rule) => `-A ${name} ${rule}`),
    ),
    ...block.insertedRules.toReversed().map(({ chain, rule }) => `-I ${chain} 1 ${rule}`),
    ...block.removed.map(({ name }) => `-X ${name}`),
  ]
  return lines.length === 0 ? '' : `*${block.table}\n${lines.join('\n')}\nCOMMIT\n`
}

/**
 * Backwards by name: iptables-nft-restore 1.8.9 keeps its chains in a sorted list that it searches from the start, so
 * any other order costs the square of their number (14,000 chains: 14 s instead of 4).
 */
function chainLines(chains: readonly Chain[]): readonly string[] {
  const names = chains.map(({ name }) => name).sort()
  return names.reverse().map((name) => `:${name} - [0:0]`)
}
