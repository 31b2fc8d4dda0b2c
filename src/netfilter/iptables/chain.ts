/**
 * iptables nouns as values: chains with all their rules, and single rules inside chains that others share.
 *
 * `iptables-save` does not give rules back as they were written, so a chain carries its own fingerprint: the comment
 * of its first rule ends in `#` and a digest of all rules. Reading back only digests and rule counts is enough to
 * know whether a chain is as we left it, and a restart rewrites nothing that is already right.
 */
import { createHash } from 'node:crypto'

export type Table = 'filter' | 'nat' | 'mangle'

/** A chain whose whole content is one owner's. */
export interface Chain {
  readonly kind: 'chain'
  /** `table/name`. */
  readonly key: string
  /** `digest rules`, `empty`, or what was found instead. */
  readonly text: string
  readonly table: Table
  readonly name: string
  /** Rule specifications without `-A name`; `undefined` where a chain was only observed. */
  readonly rules: readonly string[] | undefined
}

/** One rule in a chain that others use as well: a jump from a built-in chain, mostly. */
export interface SharedRule {
  readonly kind: 'shared-rule'
  /** `table/chain rule`. */
  readonly key: string
  /** `in place`, or why it has no effect where it stands. */
  readonly text: string
  readonly table: Table
  readonly chain: string
  /** The specification, without `-A chain`. */
  readonly rule: string
}

/** A chain that others fill too: it is only made to exist, never flushed and never removed. */
export interface SharedChain {
  readonly kind: 'shared-chain'
  readonly key: string
  readonly text: 'exists'
  readonly table: Table
  readonly name: string
}

export type IptablesObject = Chain | SharedRule | SharedChain

export const IN_PLACE = 'in place'

/** `XT_EXTENSION_MAXNAMELEN` is 29 bytes with the final zero. */
export const MAX_CHAIN_NAME = 28
/** `struct xt_comment_info` holds 256 bytes with the final zero; this leaves room for the digest. */
const MAX_LABEL = 220

/** `label` is for people; anything in it that could end the quotation is replaced. */
export function chain(
  table: Table,
  name: string,
  content: { readonly label: string; readonly rules: readonly string[] },
): Chain {
  const { label, rules } = content
  const key = `${table}/${name}`
  const [first, ...others] = rules
  if (first === undefined) return { kind: 'chain', key, text: chainText(undefined, 0), table, name, rules }
  const digest = digestOf(`${label}\n${rules.join('\n')}`)
  const comment = `-m comment --comment "${safeLabel(label)} #${digest}"`
  const marked = [`${comment} ${first}`, ...others]
  return { kind: 'chain', key, text: chainText(digest, rules.length), table, name, rules: marked }
}

/** What `text` of a chain with this digest in its first rule and this many rules is. */
export function chainText(digest: string | undefined, rules: number): string {
  if (rules === 0) return 'empty'
  return digest === undefined ? `unmarked ${rules}` : `${digest} ${rules}`
}

/** The digest in one line of `iptables-save`, if the line has one. */
export function digestIn(line: string): string | undefined {
  return /--comment "[^"]* #([0-9a-f]{16})"/.exec(line)?.[1]
}

export function sharedRule(table: Table, chainName: string, rule: string): SharedRule {
  return {
    kind: 'shared-rule',
    key: `${table}/${chainName} ${rule}`,
    text: IN_PLACE,
    table,
    chain: chainName,
    rule,
  }
}

export function sharedChain(table: Table, name: string): SharedChain {
  return { kind: 'shared-chain', key: `${table}/${name} exists`, text: 'exists', table, name }
}

/** Text that is safe between the quotation marks of `--comment`, whatever came in; at most 220 characters. */
export function safeLabel(text: string): string {
  const safe = text.replace(/[^A-Za-z0-9 .,:;/_()<>=+-]/g, '?')
  return safe.length > MAX_LABEL ? `${safe.slice(0, MAX_LABEL - 3)}...` : safe
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}
