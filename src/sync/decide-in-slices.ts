/**
 * Decides a large step in slices, giving the event loop a turn between them, for the same reason and by the same means
 * as `plan-in-slices.ts`: deciding is incremental, and the answer depends on the last snapshot alone.
 */
import { ShardedMap } from '../collections/sharded-map.ts'
import type { Forwarding } from '../forwarding/forwarding.ts'
import type { ClusterSnapshot, FamilySnapshot } from '../model/cluster-snapshot.ts'
import type { ServicePortKey } from '../model/service-port.ts'
import type { Family } from '../net/ip.ts'
import { ownTurn } from '../runtime/own-turn.ts'

/** Service ports and endpoints per slice: some milliseconds of deciding. */
const SLICE = 500

export interface DecideStep {
  readonly family: Family
  readonly decide: (snapshot: ClusterSnapshot) => Forwarding
  /** What was decided last; `undefined`: nothing yet. */
  readonly previous: FamilySnapshot | undefined
}

export async function decideInSlices(snapshot: ClusterSnapshot, step: DecideStep): Promise<Forwarding> {
  const { family, decide, previous } = step
  const target = snapshot.families[family]
  let { servicePorts, endpoints } = previous ?? {
    servicePorts: ShardedMap.empty(),
    endpoints: ShardedMap.empty(),
  }
  let slice: ServicePortKey[] = []
  let size = 0
  let isLarge = false
  for (const key of changedKeys({ servicePorts, endpoints }, target)) {
    slice.push(key)
    size += 1 + (target.endpoints.get(key)?.length ?? 0)
    if (size < SLICE) continue
    servicePorts = servicePorts.with(slice.map((at) => [at, target.servicePorts.get(at)] as const))
    endpoints = endpoints.with(slice.map((at) => [at, target.endpoints.get(at)] as const))
    const families = { ...snapshot.families, [family]: { ...target, servicePorts, endpoints } }
    await ownTurn()
    decide({ ...snapshot, families })
    slice = []
    size = 0
    isLarge = true
  }
  if (isLarge) await ownTurn()
  return decide(snapshot)
}

function changedKeys(
  before: Pick<FamilySnapshot, 'servicePorts' | 'endpoints'>,
  after: FamilySnapshot,
): readonly ServicePortKey[] {
  const keys = new Set<ServicePortKey>()
  for (const { key } of before.servicePorts.changesTo(after.servicePorts)) keys.add(key)
  for (const { key } of before.endpoints.changesTo(after.endpoints)) keys.add(key)
  return [...keys]
}
