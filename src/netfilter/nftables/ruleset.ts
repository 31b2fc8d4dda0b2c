/**
 * What one nftables table consists of, as values that can be compared: the table itself, its sets and maps
 * ("containers"), its chains, and the elements of the containers. No Kubernetes word in here.
 *
 * A rule is compared by its comment, which carries a digest of the rule. Tools of different versions print one rule in
 * different ways (`mark or 0x4000`, `meta mark | 0x00004000`), but all of them print comments as they were written.
 */
export type TableFamily = 'ip' | 'ip6'

export interface Rule {
  /** Matches and statements as `add rule` takes them, without the comment. */
  readonly text: string
  /** For people, in plain letters; the digest of `text` is added to it. */
  readonly note: string
}

/** The table exists and was laid out as `text` says: a digest of everything that cannot be changed in place. */
export interface TableObject {
  readonly kind: 'table'
  readonly key: 'table'
  readonly text: string
}

export interface ContainerObject {
  readonly kind: 'container'
  /** `container/<name>`. */
  readonly key: string
  /** Declaration: `map { type ipv4_addr : verdict; }`. */
  readonly text: string
  readonly name: string
}

export interface ChainObject {
  readonly kind: 'chain'
  /** `chain/<name>`. */
  readonly key: string
  /** The hook, if any, and the comments of all rules, a line each. */
  readonly text: string
  readonly name: string
  readonly hook: Hook | undefined
  /** Empty for a chain that was read back: its rules are known by their comments only. */
  readonly rules: readonly Rule[]
}

export interface ElementObject {
  readonly kind: 'element'
  /** `<container> <element key>`: container names have no blanks. */
  readonly key: string
  /** The value, or empty in a set. */
  readonly text: string
}

export type NftObject = TableObject | ContainerObject | ChainObject | ElementObject

export interface Hook {
  readonly type: 'filter' | 'nat'
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting'
  readonly priority: number
}

export function aTable(layout: string): TableObject {
  return { kind: 'table', key: 'table', text: layout }
}

export function aContainer(name: string, declaration: string): ContainerObject {
  return { kind: 'container', key: `container/${name}`, text: declaration, name }
}

export function aChain(name: string, rules: readonly Rule[], hook?: Hook): ChainObject {
  const text = chainText(hook === undefined ? undefined : `${hook.type} ${hook.hook}`, rules.map(commentOf))
  return { kind: 'chain', key: `chain/${name}`, text, name, hook, rules }
}

/** A chain as it was read: `hook` is `type hook`, as in `nat prerouting`. */
export function anObservedChain(
  name: string,
  hook: string | undefined,
  comments: readonly string[],
): ChainObject {
  return {
    kind: 'chain',
    key: `chain/${name}`,
    text: chainText(hook, comments),
    name,
    hook: undefined,
    rules: [],
  }
}

export function anElement(container: string, element: string, value = ''): ElementObject {
  return { kind: 'element', key: `${container} ${element}`, text: value }
}

/** The container and the element key of an element. */
export function partsOf(element: ElementObject): { readonly container: string; readonly element: string } {
  const blank = element.key.indexOf(' ')
  return { container: element.key.slice(0, blank), element: element.key.slice(blank + 1) }
}

/** `note #digest`: what the rule is for, and which rule it is. */
export function commentOf(rule: Rule): string {
  return `${rule.note} #${digest(rule.text)}`
}

/** Eight hexadecimal digits that change with the text (FNV-1a over UTF-16 units): against accidents, not against people. */
export function digest(text: string): string {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0')
}

function chainText(hook: string | undefined, comments: readonly string[]): string {
  return [hook ?? 'no hook', ...comments].join('\n')
}
