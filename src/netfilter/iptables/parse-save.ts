/**
 * Reads `iptables-save`, as little of it as needed: which chains exist, how many rules they have, the digest in the
 * first one, who jumps to whom, and the full text of the rules of the few chains that are shared with others.
 */
import { forEachSliced, type Sliced } from '../../collections/sliced.ts'
import { type Table, chainText, digestIn } from './chain.ts'

export interface SavedChain {
  readonly table: Table
  readonly name: string
  /** As `Chain.text`. */
  readonly text: string
  /** Specifications without `-A name`, only for chains that were asked for. */
  readonly rules: readonly string[]
  /** Chains that this one jumps or goes to, only for chains that were asked for. */
  readonly targets: readonly string[]
}

interface Draft {
  digest: string | undefined
  count: number
  readonly rules: string[]
}

/**
 * Every chain in the order of the text. `keepsRules` says of which chains the rules are wanted: those that are not
 * ours. Lines that are not understood are skipped.
 */
export function* parseSave(
  text: string,
  keepsRules: (chain: string) => boolean,
): Sliced<readonly SavedChain[]> {
  const chains: SavedChain[] = []
  let table: Table | undefined
  let drafts = new Map<string, Draft>()
  yield* forEachSliced(lines(text), (line) => {
    if (line.startsWith('-A ')) addRule(drafts, line, keepsRules)
    else if (line.startsWith(':')) drafts.set(line.slice(1, line.indexOf(' ')), newDraft())
    else if (line.startsWith('*')) {
      table = line.slice(1).trim() as Table
      drafts = new Map()
    } else if (line === 'COMMIT' && table !== undefined) {
      for (const [name, draft] of drafts) chains.push(savedChain(table, name, draft))
    }
  })
  return chains
}

function* lines(text: string): Generator<string> {
  let start = 0
  while (start < text.length) {
    const found = text.indexOf('\n', start)
    const end = found < 0 ? text.length : found
    yield text.slice(start, end)
    start = end + 1
  }
}

function newDraft(): Draft {
  return { digest: undefined, count: 0, rules: [] }
}

function addRule(drafts: Map<string, Draft>, line: string, keepsRules: (chain: string) => boolean): void {
  const nameEnd = line.indexOf(' ', 3)
  const name = nameEnd < 0 ? line.slice(3) : line.slice(3, nameEnd)
  const draft = drafts.get(name)
  if (draft === undefined) return
  if (draft.count === 0) draft.digest = digestIn(line)
  draft.count++
  if (keepsRules(name)) draft.rules.push(nameEnd < 0 ? '' : line.slice(nameEnd + 1))
}

function savedChain(table: Table, name: string, draft: Draft): SavedChain {
  const targets = draft.rules.map(targetOf).filter((target) => target !== undefined)
  return { table, name, text: chainText(draft.digest, draft.count), rules: draft.rules, targets }
}

/** What `-j` or `-g` of a specification names; comments cannot confuse it. */
export function targetOf(rule: string): string | undefined {
  return /(?:^| )-[jg] (\S+)/.exec(withoutComments(rule))?.[1]
}

/** The text of the comment of a specification. */
export function commentOf(rule: string): string | undefined {
  const match = /--comment (?:"((?:[^"\\]|\\.)*)"|(\S+))/.exec(rule)
  return match?.[1] ?? match?.[2]
}

/** A specification without `-m comment --comment …`. */
export function withoutComments(rule: string): string {
  return rule.replace(/ ?-m comment --comment (?:"(?:[^"\\]|\\.)*"|\S+)/g, '').trim()
}
