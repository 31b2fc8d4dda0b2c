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

/** Service ports per slice: some ten milliseconds of deciding. */
const SLICE = 250

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
  const keys = changedKeys({ servicePorts, endpoints }, target)
  for (let from = 0; from + SLICE < keys.length; from += SLICE) {
    const slice = keys.slice(from, from + SLICE)
    servicePorts = servicePorts.with(slice.map((key) => [key, target.servicePorts.get(key)] as const))
    endpoints = endpoints.with(slice.map((key) => [key, target.endpoints.get(key)] as const))
    const families = { ...snapshot.families, [family]: { ...target, servicePorts, endpoints } }
    await ownTurn()
    decide({ ...snapshot, families })
  }
  if (keys.length > SLICE) await ownTurn()
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
