/**
 * Finds the rules for a packet's destination in a number of steps that does not depend on how many there are.
 *
 * iptables looks at rules one after the other, so a list of all destinations would cost every new connection on the
 * node. Here destinations form a tree by their digits: address in hexadecimal, protocol, port in hexadecimal. A place
 * with few entries is a list (a leaf); a crowded one branches by its first digit that differs, so that scattered
 * addresses need no more levels than dense ones. The shape depends on the entries alone and not on the order in which
 * they came; an update copies the path to the root and shares the rest, so that two trees are compared by identity.
 */

/** The rules of one destination. */
export interface Entry {
  /** Digits of the destination; a range of ports has the digits that all its ports share. */
  readonly path: string
  /** Unique in the tree; sorts entries of one leaf. */
  readonly id: string
  readonly rules: readonly string[]
}

export interface Leaf {
  readonly kind: 'leaf'
  /** The place in the tree, which is a prefix of every path. */
  readonly prefix: string
  readonly size: number
  /** Sorted by `id`. */
  readonly entries: readonly Entry[]
}

export interface Branch {
  readonly kind: 'branch'
  /** The longest prefix that all paths share. */
  readonly prefix: string
  readonly size: number
  /** Entries whose path ends here: they are tried before the children. Sorted by `id`. */
  readonly entries: readonly Entry[]
  /** By the digit after `prefix`, sorted. */
  readonly children: ReadonlyMap<string, TreeNode>
}

export type TreeNode = Leaf | Branch

/** More entries than this make a leaf branch: a chain costs more than a few comparisons of addresses. */
export const LEAF_CAPACITY = 48

export const EMPTY_TREE: TreeNode = { kind: 'leaf', prefix: '', size: 0, entries: [] }

/** The tree with this entry set, in place of an entry with the same id and path if there is one. */
export function withEntry(root: TreeNode, entry: Entry): TreeNode {
  return insert(root, entry)
}

/** The tree without this entry. */
export function withoutEntry(root: TreeNode, entry: Entry): TreeNode {
  return remove(root, entry) ?? EMPTY_TREE
}

/** A tree of many entries at once; the same as adding them one by one. */
export function treeOf(entries: readonly Entry[]): TreeNode {
  return build(sorted(entries), '')
}

function insert(node: TreeNode, entry: Entry): TreeNode {
  if (node.kind === 'leaf') {
    const entries = replaced(node.entries, entry)
    return entries === node.entries ? node : build(entries, node.prefix)
  }
  const common = commonPrefix(node.prefix, entry.path)
  if (common.length < node.prefix.length) return divergence(node, entry, common)
  if (entry.path.length === common.length) {
    const entries = replaced(node.entries, entry)
    return entries === node.entries ? node : branch({ ...node, entries })
  }
  const digit = entry.path.charAt(common.length)
  const child = node.children.get(digit)
  const next = child === undefined ? leaf([entry], common + digit) : insert(child, entry)
  return next === child ? node : branch({ ...node, children: withChild(node.children, digit, next) })
}

/** `entry` leaves the path of `node` after `common`: both go under a new branch there. */
function divergence(node: Branch, entry: Entry, common: string): Branch {
  const children = new Map<string, TreeNode>([[node.prefix.charAt(common.length), node]])
  if (entry.path.length === common.length)
    return branch({ kind: 'branch', prefix: common, size: 0, entries: [entry], children })
  const digit = entry.path.charAt(common.length)
  const grown = withChild(children, digit, leaf([entry], common + digit))
  return branch({ kind: 'branch', prefix: common, size: 0, entries: [], children: grown })
}

function remove(node: TreeNode, entry: Entry, place = ''): TreeNode | undefined {
  if (node.kind === 'leaf') {
    const entries = node.entries.filter(({ id }) => id !== entry.id)
    if (entries.length === node.entries.length) return node
    return entries.length === 0 && node.prefix !== '' ? undefined : leaf(entries, node.prefix)
  }
  if (!entry.path.startsWith(node.prefix)) return node
  const next = removeBelow(node, entry)
  if (next === node) return node
  return next.size > LEAF_CAPACITY ? collapsed(next, place) : build(entriesOf(next), place)
}

function removeBelow(node: Branch, entry: Entry): Branch {
  if (entry.path.length === node.prefix.length) {
    const entries = node.entries.filter(({ id }) => id !== entry.id)
    return entries.length === node.entries.length ? node : branch({ ...node, entries })
  }
  const digit = entry.path.charAt(node.prefix.length)
  const child = node.children.get(digit)
  const next = child === undefined ? undefined : remove(child, entry, node.prefix + digit)
  return next === child ? node : branch({ ...node, children: withChild(node.children, digit, next) })
}

/** A branch with one child and nothing of its own is that child. */
function collapsed(node: Branch, place: string): TreeNode {
  const [only] = node.children.values()
  if (only === undefined) return leaf(node.entries, place)
  if (node.children.size > 1 || node.entries.length > 0) return node
  return only.kind === 'branch' ? only : leaf(only.entries, place)
}

/** `entries`: sorted. `place`: where the parent expects a leaf. */
function build(entries: readonly Entry[], place: string): TreeNode {
  if (entries.length <= LEAF_CAPACITY) return leaf(entries, place)
  const prefix = entries.map(({ path }) => path).reduce(commonPrefix)
  const own = entries.filter(({ path }) => path.length === prefix.length)
  if (own.length === entries.length) return leaf(entries, place)
  const groups = new Map<string, Entry[]>()
  for (const entry of entries) {
    if (entry.path.length === prefix.length) continue
    const digit = entry.path.charAt(prefix.length)
    const group = groups.get(digit)
    if (group === undefined) groups.set(digit, [entry])
    else group.push(entry)
  }
  const children = new Map<string, TreeNode>()
  for (const digit of [...groups.keys()].sort()) {
    children.set(digit, build(groups.get(digit) ?? [], prefix + digit))
  }
  return branch({ kind: 'branch', prefix, size: 0, entries: own, children })
}

function leaf(entries: readonly Entry[], prefix: string): Leaf {
  return { kind: 'leaf', prefix, size: entries.length, entries }
}

/** Recounts. */
function branch(node: Branch): Branch {
  let size = node.entries.length
  for (const child of node.children.values()) size += child.size
  return { ...node, size }
}

/** Every entry below a node, sorted. */
export function entriesOf(node: TreeNode): readonly Entry[] {
  if (node.kind === 'leaf') return node.entries
  return sorted([...node.entries, ...[...node.children.values()].flatMap(entriesOf)])
}

function withChild(children: ReadonlyMap<string, TreeNode>, digit: string, child: TreeNode | undefined) {
  const next = new Map(children)
  if (child === undefined) next.delete(digit)
  else next.set(digit, child)
  return new Map([...next].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** The same list when it already holds an equal entry. */
function replaced(entries: readonly Entry[], entry: Entry): readonly Entry[] {
  const present = entries.find(({ id }) => id === entry.id)
  if (present !== undefined && sameRules(present, entry)) return entries
  return sorted([...entries.filter(({ id }) => id !== entry.id), entry])
}

function sameRules(a: Entry, b: Entry): boolean {
  return a.rules.length === b.rules.length && a.rules.every((rule, i) => rule === b.rules[i])
}

function sorted(entries: readonly Entry[]): Entry[] {
  return entries.toSorted((a, b) => (a.id < b.id ? -1 : Number(a.id > b.id)))
}

function commonPrefix(a: string, b: string): string {
  const end = Math.min(a.length, b.length)
  let length = 0
  while (length < end && a.charCodeAt(length) === b.charCodeAt(length)) length++
  return a.slice(0, length)
}

/**
 * The nodes below the root of `next` that are not below the root of `last`, and the other way round. Subtrees that
 * both share cost nothing.
 */
export function changedNodes(
  last: TreeNode,
  next: TreeNode,
): { readonly added: readonly TreeNode[]; readonly removed: readonly TreeNode[] } {
  const changes: NodeChanges = { added: [], removed: [] }
  compare(last, next, changes)
  const added = changes.added.filter((node) => node !== next)
  const removed = changes.removed.filter((node) => node !== last)
  if (last !== next && holds(next, last)) added.push(last)
  if (last !== next && holds(last, next)) removed.push(next)
  return { added, removed }
}

/** `node` itself is somewhere in `tree`. */
function holds(tree: TreeNode, node: TreeNode): boolean {
  let at: TreeNode | undefined = tree
  while (at !== undefined && at !== node && at.prefix.length < node.prefix.length)
    at = childrenOf(at).get(node.prefix.charAt(at.prefix.length))
  return at === node
}

interface NodeChanges {
  readonly added: TreeNode[]
  readonly removed: TreeNode[]
}

function compare(last: TreeNode | undefined, next: TreeNode | undefined, changes: NodeChanges): void {
  if (last === next) return
  // A branch that was put above or taken away leaves the subtree on the other side as it is: look for it below.
  const nextIsAbove = isAbove(next, last)
  const lastIsAbove = isAbove(last, next)
  if (last !== undefined && !nextIsAbove) changes.removed.push(last)
  if (next !== undefined && !lastIsAbove) changes.added.push(next)
  const before = nextIsAbove ? aligned(last, next) : childrenOf(last)
  const after = lastIsAbove ? aligned(next, last) : childrenOf(next)
  for (const [digit, child] of after) compare(before.get(digit), child, changes)
  for (const [digit, child] of before) if (!after.has(digit)) compare(child, undefined, changes)
}

function isAbove(node: TreeNode | undefined, other: TreeNode | undefined): boolean {
  return node !== undefined && other !== undefined && node.prefix.length < other.prefix.length
}

/** `node` as the only child that a branch at `above.prefix` would have. */
function aligned(node: TreeNode | undefined, above: TreeNode | undefined): ReadonlyMap<string, TreeNode> {
  if (node === undefined || above === undefined) return new Map()
  return new Map([[node.prefix.charAt(above.prefix.length), node]])
}

function childrenOf(node: TreeNode | undefined): ReadonlyMap<string, TreeNode> {
  return node?.kind === 'branch' ? node.children : new Map<string, TreeNode>()
}
