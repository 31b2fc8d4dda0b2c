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

/** Service ports per slice: about 10 ms of planning. */
const SLICE = 250

/** `previous`: the forwarding that was planned last, from which the planner continues. */
export async function planInSlices<O extends KernelObject>(
  backend: Backend<O>,
  forwarding: Forwarding,
  previous: Forwarding | undefined,
): Promise<KernelState<O>> {
  let ports = previous?.ports ?? ShardedMap.empty<ServicePortKey, PortForwarding>()
  let isLarge = false
  let slice: [ServicePortKey, PortForwarding | undefined][] = []
  for (const { key, to } of ports.changesTo(forwarding.ports)) {
    slice.push([key, to])
    if (slice.length < SLICE) continue
    ports = ports.with(slice)
    slice = []
    await ownTurn()
    backend.plan({ ...forwarding, ports })
    isLarge = true
  }
  if (isLarge) await ownTurn()
  return backend.plan(forwarding)
}
