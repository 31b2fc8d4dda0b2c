/** What of ours is in the kernel, from the text of `iptables-save`. */
import type { Sliced } from '../../collections/sliced.ts'
import type { Chain, IptablesObject, SharedRule } from '../../netfilter/iptables/chain.ts'
import { IN_PLACE, sharedChain } from '../../netfilter/iptables/chain.ts'
import {
  type SavedChain,
  commentOf,
  parseSave,
  targetOf,
  withoutComments,
} from '../../netfilter/iptables/parse-save.ts'
import { FORMER_JUMPS } from './former-jumps.ts'
import { JUMPS, MARTIAN_FIREWALL, MARTIAN_GUARD, isLeftover, isOurs } from './names.ts'

export interface ObserveOptions {
  /** The guard of kubelet's chain is ours to keep only while NodePorts answer on localhost. */
  readonly expectsGuard: boolean
}

/** `text`: all of `iptables-save` for the tables that matter, one after the other. */
export function* observedObjects(text: string, options: ObserveOptions): Sliced<readonly IptablesObject[]> {
  const chains = yield* parseSave(text, (name) => !name.startsWith('FL-'))
  const foreign = chains.filter(({ table, name }) => !isOurs(table, name) && !isLeftover(table, name))
  const formerJumps = copiesOf(FORMER_JUMPS, foreign)
  const inUse = targetsOf(foreign, formerJumps)
  const objects: IptablesObject[] = []
  for (const saved of chains) {
    const { table, name } = saved
    // A chain that somebody else's rule leads to cannot be deleted; it stays until that rule goes.
    if (isOurs(table, name) || (isLeftover(table, name) && !inUse.has(`${table}/${name}`)))
      objects.push(observedChain(saved))
    if (table === 'filter' && name === MARTIAN_FIREWALL) objects.push(sharedChain(table, name))
  }
  const wanted = options.expectsGuard ? [...JUMPS, MARTIAN_GUARD] : JUMPS
  for (const rule of wanted) objects.push(...observedRule(rule, foreign))
  return [...objects, ...formerJumps]
}

/** `table/chain` of all that somebody else's rules lead to. */
function targetsOf(chains: readonly SavedChain[], except: readonly SharedRule[]): ReadonlySet<string> {
  const isExcepted = (table: string, name: string, rule: string): boolean =>
    except.some((jump) => jump.table === table && jump.chain === name && isSameRule(jump.rule, rule))
  return new Set(
    chains.flatMap(({ table, name, rules }) =>
      rules
        .filter((rule) => !isExcepted(table, name, rule))
        .map((rule) => `${table}/${targetOf(rule) ?? ''}`),
    ),
  )
}

function observedChain({ table, name, text }: SavedChain): Chain {
  return { kind: 'chain', key: `${table}/${name}`, text, table, name, rules: undefined }
}

function observedRule(wanted: SharedRule, chains: readonly SavedChain[]): readonly SharedRule[] {
  const chain = chains.find(({ table, name }) => table === wanted.table && name === wanted.chain)
  const index = chain?.rules.findIndex((rule) => isSameRule(rule, wanted.rule)) ?? -1
  if (chain === undefined || index < 0) return []
  const blocker = chain.rules.slice(0, index).find(takesEverything)
  return [{ ...wanted, text: blocker === undefined ? IN_PLACE : `behind "${blocker}"` }]
}

/** Tools print the parts of a rule in their own order. */
export function isSameRule(a: string, b: string): boolean {
  if (targetOf(a) !== targetOf(b) || commentOf(a) !== commentOf(b)) return false
  return words(a) === words(b)
}

function words(rule: string): string {
  return withoutComments(rule).split(' ').sort().join(' ')
}

/**
 * Rules of others may stand before ours: CNIs insert there on purpose. Only one that ends the way of every packet makes
 * ours useless.
 */
function takesEverything(rule: string): boolean {
  return /^-[jg] (?:ACCEPT|DROP|REJECT|RETURN|QUEUE|DNAT|SNAT|MASQUERADE|REDIRECT)\b/.test(
    withoutComments(rule),
  )
}

/** All copies of our rules in the chains of others, as they are written there. */
export function* observedJumps(text: string): Sliced<readonly SharedRule[]> {
  const chains = yield* parseSave(text, (name) => !name.startsWith('FL-'))
  return copiesOf(
    JUMPS.filter(({ rule }) => targetOf(rule) !== MARTIAN_FIREWALL),
    chains,
  )
}

/** Every copy is an object of its own, so that none is left. */
function copiesOf(jumps: readonly SharedRule[], chains: readonly SavedChain[]): readonly SharedRule[] {
  return jumps.flatMap((jump) =>
    chains
      .filter(({ table, name }) => table === jump.table && name === jump.chain)
      .flatMap(({ rules }) => rules.filter((rule) => isSameRule(rule, jump.rule)))
      .map((rule, index) => ({ ...jump, rule, key: index === 0 ? jump.key : `${jump.key} #${index + 1}` })),
  )
}
