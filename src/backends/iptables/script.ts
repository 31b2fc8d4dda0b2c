/**
 * From changes to the input of one `iptables-restore`.
 *
 * Each table is committed as a whole, so within one table there is no order to think about. Between the two there is:
 * `filter` refuses what `nat` does not translate. A packet whose Service loses its last endpoint must find the refusal
 * before the translation goes, and one whose Service gets its first endpoint must find the translation before the
 * refusal goes. So `filter` may be written twice: first what comes (beside what is there), then, after `nat`, without
 * what goes. Refusals that stand there for a moment too long are harmless: translated packets do not match them.
 */
import type { Sliced } from '../../collections/sliced.ts'
import type { Chain, SharedChain, SharedRule, Table } from '../../netfilter/iptables/chain.ts'
import { type RestoreBlock, renderRestore } from '../../netfilter/iptables/render-restore.ts'
import type { Changes } from '../../netfilter/kernel-state.ts'
import type { KernelScript, ScriptStep } from '../backend.ts'
import type { BackendObject } from './objects.ts'

type ChainUpdate = { readonly from: Chain | undefined; readonly to: Chain }

/** Changes of one table by what has to be done about them. */
interface TableChanges {
  readonly table: Table
  readonly written: readonly ChainUpdate[]
  readonly removed: readonly Chain[]
  readonly madeToExist: readonly SharedChain[]
  readonly deletedRules: readonly SharedRule[]
  readonly insertedRules: readonly SharedRule[]
}

/**
 * Sets come first, because rules refer to them, and go last. The setting comes after the rules: it opens what the
 * martian guard closes.
 */
export function* scriptFor(changes: Changes<BackendObject>, restore: string): Sliced<KernelScript> {
  const sets = (objects: readonly BackendObject[]) => objects.filter((object) => object.kind === 'set')
  const created = sets(changes.created).map(({ name, text }) => `create ${name} ${text}\n`)
  const removed = sets(changes.removed).map(({ name }) => `destroy ${name}\n`)
  const rules = yield* restoreText(changes)
  const settings = changes.created.filter((object) => object.kind === 'sysctl')
  const ipset = (lines: readonly string[], purpose: string): ScriptStep[] =>
    lines.length === 0 ? [] : [{ file: 'ipset', args: ['-exist', 'restore'], stdin: lines.join(''), purpose }]
  return [
    ...ipset(created, 'make sets'),
    ...(rules === ''
      ? []
      : [{ file: restore, args: ['-w', '5', '--noflush'], stdin: rules, purpose: 'write rules' }]),
    ...[...settings, ...changes.updated.map(({ to }) => to)].flatMap((object) =>
      object.kind === 'sysctl'
        ? [
            {
              file: 'tee',
              args: [`/proc/sys/${object.key}`],
              stdin: `${object.text}\n`,
              purpose: 'set sysctl',
            },
          ]
        : [],
    ),
    ...ipset(removed, 'remove sets'),
  ]
}

/** Empty when nothing of iptables has to be done. */
export function* restoreText(changes: Changes<BackendObject>): Sliced<string> {
  const nat = tableChanges('nat', changes)
  yield
  const filter = tableChanges('filter', changes)
  yield
  const mangle = tableChanges('mangle', changes)
  yield
  const natBlock = finalBlock(nat)
  const blocks = isUntouched(nat)
    ? [finalBlock(filter)]
    : [comingBlock(filter), natBlock, finalBlock(leaving(filter))]
  yield
  // Only the IPVS mode has rules in mangle. They choose a virtual server by a mark, which must not happen any more
  // to what nat translates from now on.
  return yield* renderRestore([finalBlock(mangle), ...blocks])
}

function tableChanges(table: Table, changes: Changes<BackendObject>): TableChanges {
  const of = (objects: readonly BackendObject[]) =>
    objects.filter((object) => 'table' in object).filter((object) => object.table === table)
  const created = of(changes.created)
  const removed = of(changes.removed)
  const updated = changes.updated.filter(({ to }) => 'table' in to && to.table === table)
  return {
    table,
    written: [
      ...created.filter(isChain).map((to) => ({ from: undefined, to })),
      ...updated.flatMap(({ from, to }) =>
        isChain(to) ? [{ from: isChain(from) ? from : undefined, to }] : [],
      ),
    ],
    removed: removed.filter(isChain),
    madeToExist: created.filter((object) => object.kind === 'shared-chain'),
    deletedRules: [...removed, ...updated.map(({ from }) => from)].filter(isSharedRule),
    insertedRules: [...created, ...updated.map(({ to }) => to)].filter(isSharedRule),
  }
}

function isChain(object: BackendObject): object is Chain {
  return object.kind === 'chain'
}

function isSharedRule(object: BackendObject): object is SharedRule {
  return object.kind === 'shared-rule'
}

function isUntouched(changes: TableChanges): boolean {
  const { written, removed, madeToExist, deletedRules, insertedRules } = changes
  return [written, removed, madeToExist, deletedRules, insertedRules].every((list) => list.length === 0)
}

function finalBlock(changes: TableChanges): RestoreBlock {
  return { ...changes, written: changes.written.map(({ to }) => to), appended: [] }
}

/** Everything that is new; chains that also lose rules keep them for now. */
function comingBlock(changes: TableChanges): RestoreBlock {
  const appended = changes.written
    .filter(losesRules)
    .map(({ from, to }) => ({ name: to.name, rules: (to.rules ?? []).filter((rule) => !holds(from, rule)) }))
  return {
    ...changes,
    written: changes.written.filter((update) => !losesRules(update)).map(({ to }) => to),
    appended: appended.filter(({ rules }) => rules.length > 0),
    removed: [],
  }
}

/** What `comingBlock` left to do. */
function leaving(changes: TableChanges): TableChanges {
  return {
    ...changes,
    written: changes.written.filter(losesRules),
    madeToExist: [],
    deletedRules: [],
    insertedRules: [],
  }
}

/** Of a chain that was only observed, any rule may be one that has to stay for now. */
function losesRules({ from, to }: ChainUpdate): boolean {
  if (from === undefined || from.text === 'empty') return false
  return from.rules === undefined || from.rules.some((rule) => !holds(to, rule))
}

function holds(chain: Chain | undefined, rule: string): boolean {
  return chain?.rules?.some((other) => sameRule(other, rule)) ?? false
}

/** The comment of a chain's first rule changes with every other rule. */
function sameRule(a: string, b: string): boolean {
  return bare(a) === bare(b)
}

function bare(rule: string): string {
  return rule.replace(/^-m comment --comment "[^"]*" /, '')
}
