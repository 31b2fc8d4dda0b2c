/**
 * From changes to the input of four tools, in an order in which every packet has its answer at any moment:
 *
 * 1. sets and their new elements, because rules look at them;
 * 2. rules, all tables of one family in one call;
 * 3. virtual and real servers that are new or change;
 * 4. addresses: from here on packets come to the virtual servers;
 * 5. what goes, in reverse: addresses, servers, elements, sets.
 *
 * Elements are also the record of what is ours (README.md): they come before and go after what they stand for.
 */
import { type Sliced, textOfLines } from '../../collections/sliced.ts'
import type { Chain, SharedChain, SharedRule, Table } from '../../netfilter/iptables/chain.ts'
import { renderRestore } from '../../netfilter/iptables/render-restore.ts'
import type { IpSet, SetElement } from '../../netfilter/ipset/ipset.ts'
import {
  renderAdd,
  renderCreate,
  renderDelete,
  renderReplacement,
} from '../../netfilter/ipset/render-restore.ts'
import { type ServerCommand, renderCommand } from '../../netfilter/ipvs/command.ts'
import type { LocalRoute } from '../../netfilter/ipvs/local-route.ts'
import { type RealServer, DRAINED_WEIGHT, realServer } from '../../netfilter/ipvs/virtual-server.ts'
import type { Changes } from '../../netfilter/kernel-state.ts'
import type { Family } from '../../net/ip.ts'
import type { KernelScript, ScriptStep } from '../backend.ts'
import { DEVICE, KEEPER } from './names.ts'
import type { IpvsObject } from './plan-port.ts'

export interface ScriptContext {
  readonly family: Family
  /** `iptables-restore` of the family and variant. */
  readonly restoreProgram: string
  /** Keys of real servers that the kernel has with weight 0, although the state does not know them. */
  readonly draining: ReadonlySet<string>
}

type Kinds = { readonly [K in IpvsObject['kind']]: Extract<IpvsObject, { readonly kind: K }>[] }

export function* scriptFor(changes: Changes<IpvsObject>, context: ScriptContext): Sliced<KernelScript> {
  const created = byKind(changes.created)
  const updated = byKind(changes.updated.map(({ to }) => to))
  const removed = byKind(changes.removed)
  yield
  const both = <K extends IpvsObject['kind']>(kind: K) => [...created[kind], ...updated[kind]]
  const routes = both('local-route')
  const rules = yield* rulesStep({ created, updated, removed }, context.restoreProgram)
  // Rules of a predecessor that translate answer until the virtual servers can; it is they that go with `rules`.
  const takesOver = removed.chain.some(({ table }) => table === 'nat')
  const steps = [
    yield* step('ipset', ['restore', '-exist'], {
      lines: renderSets(created.set, updated.set, both('element')),
      purpose: 'fill sets',
    }),
    ...(takesOver ? [] : [rules]),
    yield* step('ipvsadm', ['--restore'], {
      lines: renderNewServers(created, updated, context.draining),
      purpose: 'write virtual servers',
    }),
    yield* step('ip', ['-force', '-batch', '-'], {
      lines: [
        ...both('device').flatMap(({ name }) => renderDevice(name)),
        ...(removed['bound-address'].length > 0 ? renderKeeper(context.family) : []),
      ],
      purpose: 'make the device',
    }),
    yield* ipStep(context.family, { lines: routes.map(renderRoute), purpose: 'make addresses local' }),
    ...(takesOver ? [rules] : []),
    yield* ipStep(context.family, {
      lines: renderLeavingAddresses(removed),
      purpose: 'take addresses away',
    }),
    yield* step('ipvsadm', ['--restore'], {
      lines: renderOldServers(removed),
      purpose: 'remove or drain servers',
    }),
    yield* step('ipset', ['restore', '-exist'], {
      lines: renderLeavingSets(removed),
      purpose: 'take elements out of sets',
    }),
  ]
  return steps.filter(({ stdin }) => stdin !== '')
}

function byKind(objects: readonly IpvsObject[]): Kinds {
  const kinds: Kinds = {
    'virtual-server': [],
    'real-server': [],
    set: [],
    element: [],
    'local-route': [],
    'bound-address': [],
    device: [],
    chain: [],
    'shared-rule': [],
    'shared-chain': [],
  }
  for (const object of objects) (kinds[object.kind] as IpvsObject[]).push(object)
  return kinds
}

interface Content {
  readonly lines: readonly string[]
  readonly purpose: string
}

function* step(file: string, args: readonly string[], { lines, purpose }: Content): Sliced<ScriptStep> {
  // The lines were made without a pause.
  yield
  return { file, args, stdin: yield* textOfLines(lines), purpose }
}

function ipStep(family: Family, content: Content): Sliced<ScriptStep> {
  return step('ip', [family === 'IPv4' ? '-4' : '-6', '-batch', '-'], content)
}

/** A set of another shape is filled beside the old one and changes places with it. */
function renderSets(
  created: readonly IpSet[],
  reshaped: readonly IpSet[],
  elements: readonly SetElement[],
): readonly string[] {
  const isReshaped = new Set(reshaped.map(({ name }) => name))
  return [
    ...created.map(renderCreate),
    ...elements.filter(({ set }) => !isReshaped.has(set)).map((element) => renderAdd(element)),
    ...reshaped.flatMap((set) =>
      renderReplacement(
        set,
        elements.filter((element) => element.set === set.name),
      ),
    ),
  ]
}

function renderLeavingSets(removed: Kinds): readonly string[] {
  const gone = new Set(removed.set.map(({ name }) => name))
  return [
    ...removed.element.filter(({ set }) => !gone.has(set)).map(renderDelete),
    ...removed.set.map(({ name }) => `destroy ${name}`),
  ]
}

const TABLES: readonly Table[] = ['mangle', 'nat', 'filter']

/** Each table is committed as a whole, and none of them needs another's news to give a right answer. */
function* rulesStep(
  changes: { readonly created: Kinds; readonly updated: Kinds; readonly removed: Kinds },
  restoreProgram: string,
): Sliced<ScriptStep> {
  const { created, updated, removed } = changes
  const blocks = TABLES.map((table) => {
    const here = <T extends Chain | SharedRule | SharedChain>(objects: readonly T[]) =>
      objects.filter((object) => object.table === table)
    return {
      table,
      madeToExist: here(created['shared-chain']),
      written: here([...created.chain, ...updated.chain]),
      appended: [],
      deletedRules: here([...removed['shared-rule'], ...updated['shared-rule']]),
      insertedRules: here([...created['shared-rule'], ...updated['shared-rule']]),
      removed: here(removed.chain),
    }
  })
  return {
    file: restoreProgram,
    args: ['-w', '5', '--noflush'],
    stdin: yield* renderRestore(blocks),
    purpose: 'write rules',
  }
}

function renderNewServers(created: Kinds, updated: Kinds, draining: ReadonlySet<string>): readonly string[] {
  const commands: ServerCommand[] = [
    ...created['virtual-server'].map((server) => ({ verb: 'add' as const, server })),
    ...updated['virtual-server'].map((server) => ({ verb: 'edit' as const, server })),
    // An endpoint that comes back while it drains gets its weight again and keeps its connections.
    ...created['real-server'].map((server) => ({
      verb: draining.has(server.key) ? ('edit' as const) : ('add' as const),
      server,
    })),
    ...updated['real-server'].map((server) => ({ verb: 'edit' as const, server })),
  ]
  return commands.map(renderCommand)
}

/** A virtual server goes with all its servers; a server of one that stays may drain. */
function renderOldServers(removed: Kinds): readonly string[] {
  const gone = new Set(removed['virtual-server'].map(({ selector }) => selector))
  const commands: ServerCommand[] = [
    ...removed['real-server'].filter(({ selector }) => !gone.has(selector)).map(departure),
    ...removed['virtual-server'].map((server) => ({ verb: 'delete' as const, server })),
  ]
  return commands.map(renderCommand)
}

function departure(server: RealServer): ServerCommand {
  const { selector, drainSeconds } = server
  // Who drains no time at all, and UDP, where nothing says that a flow is over.
  if (drainSeconds === 0 || selector.startsWith('-u ')) return { verb: 'delete', server }
  return {
    verb: 'edit',
    server: realServer(selector, server.server, { weight: DRAINED_WEIGHT, drainSeconds }),
  }
}

/** An IPv6 link-local address would look like one of the node's. */
function renderDevice(name: string): readonly string[] {
  return [`link add ${name} type dummy`, `link set ${name} addrgenmode none`, `link set ${name} up`]
}

function renderKeeper(family: Family): readonly string[] {
  return family === 'IPv4' ? [`addr add ${KEEPER}/32 dev ${DEVICE} scope host`] : []
}

function renderRoute({ ip, source }: LocalRoute): string {
  const from = source === undefined ? '' : ` src ${source}`
  return `route replace local ${prefixOf(ip)} dev ${DEVICE} table local${from}`
}

function renderLeavingAddresses(removed: Kinds): readonly string[] {
  return [
    ...removed['local-route'].map(({ ip }) => `route del local ${prefixOf(ip)} dev ${DEVICE} table local`),
    ...removed['bound-address'].map(({ ip }) => `addr del ${prefixOf(ip)} dev ${DEVICE}`),
  ]
}

function prefixOf(ip: string): string {
  return `${ip}/${ip.includes(':') ? 128 : 32}`
}
