/** From the decision to the health-check ports of Services: who has one, and how many ready endpoints are here. */
import { ShardedMap } from '../collections/sharded-map.ts'
import type { Forwarding } from '../forwarding/forwarding.ts'
import type { ClusterSnapshot } from '../model/cluster-snapshot.ts'
import { countLocalReady } from '../model/local-ready.ts'
import type { ServiceKey, ServicePortKey } from '../model/service-port.ts'
import type { Port } from '../net/protocol.ts'

export interface HealthCheckState {
  readonly ports: ReadonlyMap<ServiceKey, Port>
  /** Distinct addresses of local ready endpoints over all ports of the Service; terminating ones do not count. */
  readonly localReady: ReadonlyMap<ServiceKey, number>
}

export class HealthChecks {
  readonly #keys = new Set<ServicePortKey>()
  #ports: Forwarding['ports'] = ShardedMap.empty()

  /** `forwarding` must have been decided from `snapshot`. Costs as much as the change since the last call. */
  state(snapshot: ClusterSnapshot, forwarding: Forwarding): HealthCheckState {
    this.#follow(forwarding)
    const ports = new Map<ServiceKey, Port>()
    for (const key of this.#keys) {
      const port = forwarding.ports.get(key)
      if (port?.healthCheckNodePort !== undefined) ports.set(port.service, port.healthCheckNodePort)
    }
    const family = snapshot.families[forwarding.family]
    return { ports, localReady: countLocalReady(family, snapshot.node.name, this.#keys) }
  }

  #follow(forwarding: Forwarding): void {
    for (const { key, to } of this.#ports.changesTo(forwarding.ports))
      if (to?.healthCheckNodePort === undefined) this.#keys.delete(key)
      else this.#keys.add(key)
    this.#ports = forwarding.ports
  }
}
