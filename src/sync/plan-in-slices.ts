/**
 * Plans a large step in slices, giving the event loop a turn between them, so that health checks are answered while
 * thousands of Services load. It works because planning is incremental: a plan of a part makes the plan of the whole
 * cheaper by that part.
 */
import type { Backend } from '../backends/backend.ts'
import { type MapChange, ShardedMap } from '../collections/sharded-map.ts'
import type { Forwarding, PortForwarding } from '../forwarding/forwarding.ts'
import type { ServiceKey, ServicePortKey } from '../model/service-port.ts'
import type { KernelObject, KernelState } from '../netfilter/kernel-state.ts'
import { ownTurn } from '../runtime/own-turn.ts'

/** Service ports and endpoints per slice: few enough for a health check to wait for one. */
const SLICE = 500

/** A forwarding and what the kernel is to hold for it. */
export interface Planned<O extends KernelObject> {
  readonly forwarding: Forwarding
  readonly state: KernelState<O>
}

/**
 * A growing part of `forwarding` with its plan, at last the whole. The ports of a Service come together: one alone would
 * make the others of its address unused ports, which are refused. `previous`: the forwarding that was planned last, from
 * which the planner continues.
 */
export async function* plansInSlices<O extends KernelObject>(
  backend: Backend<O>,
  forwarding: Forwarding,
  previous: Forwarding | undefined,
): AsyncGenerator<Planned<O>> {
  let ports = previous?.ports ?? ShardedMap.empty<ServicePortKey, PortForwarding>()
  let isLarge = false
  for (const { slice, endsService } of fullSlices([...ports.changesTo(forwarding.ports)])) {
    ports = ports.with(slice)
    await ownTurn()
    const part = { ...forwarding, ports }
    const state = backend.plan(part)
    if (endsService) yield { forwarding: part, state }
    isLarge = true
  }
  if (isLarge) await ownTurn()
  yield { forwarding, state: backend.plan(forwarding) }
}

type Change = MapChange<ServicePortKey, PortForwarding>

interface Slice {
  readonly slice: readonly [ServicePortKey, PortForwarding | undefined][]
  readonly endsService: boolean
}

/**
 * The changes in slices that end where a Service ends, except within a very large one. Without the last slice, which is
 * not full.
 */
function* fullSlices(changes: Change[]): Generator<Slice> {
  changes.sort((a, b) => (a.key < b.key ? -1 : 1))
  let slice: [ServicePortKey, PortForwarding | undefined][] = []
  let size = 0
  for (const [index, change] of changes.entries()) {
    slice.push([change.key, change.to])
    size += 1 + (change.to?.pools.cluster.length ?? 0)
    const endsService = serviceOf(change) !== serviceOf(changes[index + 1])
    if (size < SLICE || (!endsService && size < 2 * SLICE)) continue
    yield { slice, endsService }
    slice = []
    size = 0
  }
}

function serviceOf(change: Change | undefined): ServiceKey | undefined {
  return (change?.to ?? change?.from)?.service
}

/** The plan of the whole. */
export async function planInSlices<O extends KernelObject>(
  ...of: Parameters<typeof plansInSlices<O>>
): Promise<KernelState<O>> {
  let plan: KernelState<O> = ShardedMap.empty()
  for await (const { state } of plansInSlices(...of)) plan = state
  return plan
}
