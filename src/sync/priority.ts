import { ShardedMap } from '../collections/sharded-map.ts'
import type { ClusterSnapshot } from '../model/cluster-snapshot.ts'
import type { ServiceKey, ServicePort } from '../model/service-port.ts'
import type { Family } from '../net/ip.ts'

/**
 * The cluster as if it had only what everything else on a node waits for: the API server's own Service and cluster
 * DNS. `undefined` when it has neither, or nothing else.
 */
export function firstNeededOf(snapshot: ClusterSnapshot, family: Family): ClusterSnapshot | undefined {
  const whole = snapshot.families[family]
  const needed = new Set<ServiceKey>()
  for (const port of whole.servicePorts.values()) if (isFirstNeeded(port)) needed.add(port.service)
  // With all of their ports: one alone would make the others unused ports, which are refused.
  const ports = [...whole.servicePorts].filter(([, { service }]) => needed.has(service))
  if (ports.length === 0 || ports.length === whole.servicePorts.size) return undefined
  const servicePorts = ShardedMap.of(ports)
  const endpoints = ShardedMap.of(
    ports.flatMap(([key]) => {
      const found = whole.endpoints.get(key)
      return found === undefined ? [] : [[key, found] as const]
    }),
  )
  const families = { ...snapshot.families, [family]: { ...whole, servicePorts, endpoints } }
  return { ...snapshot, families }
}

function isFirstNeeded({ service, port }: ServicePort): boolean {
  return service === 'default/kubernetes' || (service.startsWith('kube-system/') && port === 53)
}
