/**
 * A backend whose kernel is a map in memory: what the loop and the reconciler are tested against.
 * Every service port is one object; a script is one step whose standard input lists the changes as JSON.
 */
import type { Sliced } from '../../src/collections/sliced.ts'
import type { Backend, Drift, KernelScript } from '../../src/backends/backend.ts'
import type { Forwarding, PortForwarding } from '../../src/forwarding/forwarding.ts'
import { KernelError } from '../../src/kernel/kernel-error.ts'
import type { ServicePortKey } from '../../src/model/service-port.ts'
import {
  type Changes,
  fragmentOf,
  type KernelObject,
  type KernelState,
  observedState,
} from '../../src/netfilter/kernel-state.ts'
import { ShardedMap } from '../../src/collections/sharded-map.ts'

interface Step {
  readonly set: readonly (readonly [string, string])[]
  readonly unset: readonly string[]
}

export function kernelError(code: KernelError['code'], message = 'refused'): KernelError {
  return new KernelError(message, {
    code,
    command: ['memory'],
    exitCode: 1,
    stderr: message,
    script: '',
    line: undefined,
    remedy: 'none',
  })
}

export class MemoryBackend implements Backend<KernelObject> {
  readonly name = 'nftables'
  addsCheaply = false
  readonly family = 'IPv4'
  readonly kernel = new Map<string, string>()
  /** Keys that the kernel refuses. */
  readonly refuses = new Set<string>()
  /** Asked before every write: an error to throw instead, possibly after half of the work. */
  beforeWrite: () => KernelError | undefined = () => undefined
  drift: Drift | undefined
  /** Whether the tool names the culprit. */
  tellsCulprit = false
  /** Wanted whatever is forwarded; their keys begin with `sysctl`. */
  settings: readonly KernelObject[] = []
  readonly writes: Step[] = []
  observations = 0
  /** How often the script pauses while it is written. */
  pausesOfScript = 0
  #previous: { ports: Forwarding['ports']; state: KernelState<KernelObject> } | undefined

  plan(forwarding: Forwarding): KernelState<KernelObject> {
    const before = this.#previous ?? {
      ports: ShardedMap.empty(),
      state: ShardedMap.of([['settings', fragmentOf(this.settings)]]),
    }
    const changed = [...before.ports.changesTo(forwarding.ports)].map(({ key, to }) => {
      const text = to?.pools.cluster.map((target) => `${target.ip}:${target.port}`).join() ?? ''
      return [String(key), to && fragmentOf([{ kind: 'port', key, text }])] as const
    })
    const state = before.state.with(changed)
    this.#previous = { ports: forwarding.ports, state }
    return state
  }

  *script(changes: Changes<KernelObject>): Sliced<KernelScript> {
    const set = [...changes.created, ...changes.updated.map(({ to }) => to)].map(({ key, text }) => [
      key,
      text,
    ])
    const unset = changes.removed.map(({ key }) => key)
    for (let pause = 0; pause < this.pausesOfScript; pause++) yield
    return [{ file: 'memory', args: [], stdin: JSON.stringify({ set, unset }), purpose: 'all' }]
  }

  observe(): Promise<KernelState<KernelObject>> {
    this.observations++
    const objects = [...this.kernel].map(([key, text]) => ({
      kind: key.startsWith('sysctl') ? 'sysctl' : 'port',
      key,
      text,
    }))
    return Promise.resolve(objects.length === 0 ? ShardedMap.empty() : observedState(objects))
  }

  apply(script: KernelScript): Promise<void> {
    const failure = this.beforeWrite()
    if (failure !== undefined) return Promise.reject(failure)
    for (const { stdin } of script) {
      const step = JSON.parse(stdin) as Step
      const bad = step.set.find(([key]) => this.refuses.has(key))
      if (bad !== undefined) return Promise.reject(kernelError('rejected', `refused ${bad[0]}`))
      this.writes.push(step)
      for (const [key, text] of step.set) this.kernel.set(key, text)
      for (const key of step.unset) this.kernel.delete(key)
    }
    return Promise.resolve()
  }

  substitution({ algorithm }: PortForwarding): string | undefined {
    return algorithm === undefined ? undefined : `no ${algorithm} here`
  }

  blame(error: unknown): ServicePortKey | undefined {
    if (!this.tellsCulprit || !(error instanceof KernelError)) return undefined
    return error.stderr.replace('refused ', '') as ServicePortKey
  }

  probe(): Promise<Drift | undefined> {
    return Promise.resolve(this.drift)
  }

  cleanup(): Promise<readonly string[]> {
    this.kernel.clear()
    return Promise.resolve([])
  }
}
