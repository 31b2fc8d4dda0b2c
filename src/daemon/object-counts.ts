/** Counts for metrics: what is decided and what is in the kernel. */
import type { Forwarding } from '../forwarding/forwarding.ts'
import type { KernelObject } from '../netfilter/kernel-state.ts'
import type { FamilyPipeline } from '../sync/family-pipeline.ts'

export interface ObjectCounts {
  /** `service_port`, `endpoint`, and each kind of kernel object. */
  readonly objects: Readonly<Record<string, number>>
  /** Rules by iptables table; empty in other modes. */
  readonly rules: ReadonlyMap<'filter' | 'nat', number>
}

/** An iptables chain, seen from outside. */
interface ChainLike extends KernelObject {
  readonly table?: string
  readonly rules?: readonly string[]
}

export function countObjects(pipeline: FamilyPipeline<KernelObject>): ObjectCounts {
  const objects: Record<string, number> = decidedCounts(pipeline.forwarding)
  const rules = new Map<'filter' | 'nat', number>()
  for (const fragment of pipeline.believed?.values() ?? [])
    for (const object of fragment.values()) {
      objects[object.kind] = (objects[object.kind] ?? 0) + 1
      const { table, rules: lines = [] } = object as ChainLike
      if (table === 'filter' || table === 'nat') rules.set(table, (rules.get(table) ?? 0) + lines.length)
    }
  return { objects, rules }
}

function decidedCounts(forwarding: Forwarding | undefined): { service_port: number; endpoint: number } {
  let endpoint = 0
  for (const port of forwarding?.ports.values() ?? []) endpoint += port.pools.cluster.length
  return { service_port: forwarding?.ports.size ?? 0, endpoint }
}

/** Service ports with policy Local that have endpoints, but none here: their traffic is dropped. */
export function countPolicies(forwarding: Forwarding): { internal: number; external: number } {
  const counts = { internal: 0, external: 0 }
  for (const { frontends } of forwarding.ports.values()) {
    const dropped = frontends.filter(({ routes }) => routes.external.action === 'drop')
    if (dropped.some(({ kind }) => kind === 'ClusterIP')) counts.internal++
    if (dropped.some(({ kind }) => kind !== 'ClusterIP')) counts.external++
  }
  return counts
}
