import type { FamilySnapshot } from './cluster-snapshot.ts'
import type { ServiceKey, ServicePortKey } from './service-port.ts'

/**
 * How many endpoints each Service has ready on this node, for its health-check port: distinct addresses over those of
 * its ports that are named in `keys`. Services with none are left out. Terminating endpoints do not count unless they
 * are said to be ready, so that load balancers stop sending here while the last pods finish.
 */
export function countLocalReady(
  family: Pick<FamilySnapshot, 'endpoints'>,
  nodeName: string,
  keys: Iterable<ServicePortKey>,
): ReadonlyMap<ServiceKey, number> {
  const addresses = new Map<ServiceKey, Set<string>>()
  for (const key of keys) {
    const service = key.slice(0, key.indexOf(':')) as ServiceKey
    for (const { ip, nodeName: place, ready } of family.endpoints.get(key) ?? []) {
      if (!ready || place !== nodeName) continue
      const known = addresses.get(service) ?? new Set<string>()
      addresses.set(service, known.add(ip))
    }
  }
  return new Map([...addresses].map(([service, known]) => [service, known.size]))
}
