/**
 * Plans a large step in slices, giving the event loop a turn between them, so that health checks are answered while
 * thousands of Services load. It works because planning is incremental: a plan of a part makes the plan of the whole
 * cheaper by that part.
 */
import type { Backend } from '../backends/backend.ts'
import { ShardedMap } from '../collections/sharded-map.ts'
import type { Forwarding, PortForwarding } from '../forwarding/forwarding.ts'
import type { ServicePortKey } from '../model/service-port.ts'
import type { KernelObject, KernelState } from '../netfilter/kernel-state.ts'
import { ownTurn } from '../runtime/own-turn.ts'

/** Service ports and endpoints per slice: about 10 ms of planning. */
const SLICE = 1500

/** A forwarding and what the kernel is to hold for it. */
export interface Planned<O extends KernelObject> {
  readonly forwarding: Forwarding
  readonly state: KernelState<O>
}

/**
 * A growing part of `forwarding` with its plan, at last the whole. `previous`: the forwarding that was planned last,
 * from which the planner continues.
 */
export async function* plansInSlices<O extends KernelObject>(
  backend: Backend<O>,
  forwarding: Forwarding,
  previous: Forwarding | undefined,
): AsyncGenerator<Planned<O>> {
  let ports = previous?.ports ?? ShardedMap.empty<ServicePortKey, PortForwarding>()
  let isLarge = false
  let slice: [ServicePortKey, PortForwarding | undefined][] = []
  let size = 0
  for (const { key, to } of ports.changesTo(forwarding.ports)) {
    slice.push([key, to])
    size += 1 + (to?.pools.cluster.length ?? 0)
    if (size < SLICE) continue
    ports = ports.with(slice)
    slice = []
    size = 0
    await ownTurn()
    const part = { ...forwarding, ports }
    yield { forwarding: part, state: backend.plan(part) }
    isLarge = true
  }
  if (isLarge) await ownTurn()
  yield { forwarding, state: backend.plan(forwarding) }
}

/** The plan of the whole. */
export async function planInSlices<O extends KernelObject>(
  ...of: Parameters<typeof plansInSlices<O>>
): Promise<KernelState<O>> {
  let plan: KernelState<O> = ShardedMap.empty()
  for await (const { state } of plansInSlices(...of)) plan = state
  return plan
}
