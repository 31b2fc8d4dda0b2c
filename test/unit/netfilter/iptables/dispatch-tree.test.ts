import fc from 'fast-check'
import {
  EMPTY_TREE,
  type Entry,
  LEAF_CAPACITY,
  type TreeNode,
  changedNodes,
  entriesOf,
  treeOf,
  withEntry,
  withoutEntry,
} from '../../../../src/netfilter/iptables/dispatch-tree.ts'

function anEntry(path: string, rules: readonly string[] = [`rule ${path}`]): Entry {
  return { path, id: path, rules }
}

function hex(n: number, digits = 4): string {
  return n.toString(16).padStart(digits, '0')
}

function numbers(count: number, start = 0, step = 1): Entry[] {
  return Array.from({ length: count }, (_, i) => anEntry(hex(start + i * step)))
}

/** Paths of few digits, so that prefixes are shared and left; some end where others go on. */
const anyEntry = fc
  .tuple(fc.array(fc.constantFrom('0', '1', 'f'), { minLength: 0, maxLength: 6 }), fc.nat(1))
  .map(([digits, rule]) => anEntry(digits.join(''), [`rule ${rule}`]))
const anyEntries = fc.uniqueArray(anyEntry, { maxLength: 300, selector: ({ id }) => id })

/** The chains that a tree is shown as: place → rules. */
function chains(root: TreeNode): Map<string, string> {
  const found = new Map<string, string>()
  const visit = (node: TreeNode) => {
    if (node !== root) found.set(node.prefix, textOf(node))
    if (node.kind === 'branch') for (const child of node.children.values()) visit(child)
  }
  visit(root)
  return found
}

function textOf(node: TreeNode): string {
  const own = node.entries.flatMap(({ rules }) => rules)
  const children =
    node.kind === 'branch' ? [...node.children.values()].map(({ prefix }) => `goto ${prefix}`) : []
  return [...own, ...children].join(', ')
}

function depth(node: TreeNode): number {
  return node.kind === 'leaf' ? 0 : 1 + Math.max(...[...node.children.values()].map(depth))
}

test('treeOf() keeps few entries in one leaf', () => {
  expect(treeOf(numbers(LEAF_CAPACITY))).toMatchObject({ kind: 'leaf', size: LEAF_CAPACITY })
})

test('treeOf() branches where entries first differ', () => {
  const tree = treeOf(numbers(LEAF_CAPACITY + 1, 0x1000, 16))
  expect(tree).toMatchObject({ kind: 'branch', prefix: '1', size: LEAF_CAPACITY + 1 })
})

test('treeOf() needs few levels for dense and for scattered entries', () => {
  expect(depth(treeOf(numbers(10_000)))).toBeLessThanOrEqual(3)
  expect(depth(treeOf(numbers(3000, 7, 17)))).toBeLessThanOrEqual(3)
})

test('treeOf() keeps entries of one and the same path together, however many', () => {
  const same = Array.from({ length: 100 }, (_, i) => ({ path: 'ab', id: `ab${i}`, rules: ['r'] }))
  expect(treeOf(same)).toMatchObject({ kind: 'leaf', size: 100 })
})

test('withEntry() gives back the same tree for an entry that it holds', () => {
  const tree = treeOf(numbers(200))
  expect(withEntry(tree, anEntry(hex(7)))).toBe(tree)
})

test('withoutEntry() gives back the same tree for an entry that it does not hold', () => {
  const tree = treeOf(numbers(200))
  expect(withoutEntry(tree, anEntry('ffff'))).toBe(tree)
})

test('withEntry() leaves all but the path to the entry as it was', () => {
  const tree = treeOf(numbers(5000))
  const { added, removed } = changedNodes(tree, withEntry(tree, anEntry(hex(77), ['other'])))
  expect(added).toHaveLength(removed.length)
  expect(added.length).toBeLessThanOrEqual(3)
})

test('withEntry() and withoutEntry() end in the tree that treeOf() builds, in any order', () => {
  fc.assert(
    fc.property(anyEntries, anyEntries, (first, second) => {
      let tree: TreeNode = treeOf(first)
      const wanted = new Map(second.map((entry) => [entry.id, entry]))
      for (const [i, entry] of second.entries()) {
        tree = withEntry(tree, entry)
        const gone = first[i]
        if (gone !== undefined && !wanted.has(gone.id)) tree = withoutEntry(tree, gone)
      }
      for (const entry of first.slice(second.length))
        if (!wanted.has(entry.id)) tree = withoutEntry(tree, entry)
      expect(tree).toEqual(treeOf(second))
      expect(entriesOf(tree)).toHaveLength(second.length)
    }),
    { numRuns: 200 },
  )
})

test('withoutEntry() of everything leaves the empty tree', () => {
  fc.assert(
    fc.property(anyEntries, (entries) => {
      expect(entries.reduce<TreeNode>(withoutEntry, treeOf(entries))).toEqual(EMPTY_TREE)
    }),
  )
})

test('changedNodes() tells exactly the chains that differ', () => {
  fc.assert(
    fc.property(anyEntries, fc.array(anyEntry, { maxLength: 8 }), fc.nat(300), (first, changes, cut) => {
      const last = treeOf(first)
      let next = last
      for (const entry of changes) next = withEntry(next, entry)
      for (const entry of first.slice(cut)) next = withoutEntry(next, entry)
      const told = chains(last)
      const { added, removed } = changedNodes(last, next)
      for (const node of removed) told.delete(node.prefix)
      for (const node of added) told.set(node.prefix, textOf(node))
      expect(told).toEqual(chains(next))
    }),
    { numRuns: 300 },
  )
})
