/** Finds out which Services get something else than they asked for, looking only at service ports that changed. */
import type { Backend } from '../backends/backend.ts'
import { ShardedMap } from '../collections/sharded-map.ts'
import type { Forwarding, PortForwarding } from '../forwarding/forwarding.ts'
import type { ServicePortKey } from '../model/service-port.ts'
import type { KernelObject } from '../netfilter/kernel-state.ts'

export class Substitutions {
  readonly #backend: Pick<Backend<KernelObject>, 'substitution'>
  readonly #tell: (port: PortForwarding, instead: string) => void
  readonly #told = new Map<ServicePortKey, string>()
  #ports: Forwarding['ports'] = ShardedMap.empty()

  /** `tell` hears of every substitution once for as long as it lasts. */
  constructor(
    backend: Pick<Backend<KernelObject>, 'substitution'>,
    tell: (port: PortForwarding, instead: string) => void,
  ) {
    this.#backend = backend
    this.#tell = tell
  }

  /** These ports are in the kernel now. */
  synced({ ports }: Pick<Forwarding, 'ports'>): void {
    for (const { key, to } of this.#ports.changesTo(ports)) {
      const instead = to === undefined ? undefined : this.#backend.substitution(to)
      if (to === undefined || instead === undefined) this.#told.delete(key)
      else if (this.#told.get(key) !== instead) {
        this.#told.set(key, instead)
        this.#tell(to, instead)
      }
    }
    this.#ports = ports
  }
}
