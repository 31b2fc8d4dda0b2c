/** What the scenes act on: the lab, its pods, the Service's addresses, and the counting of what clients see. */
import type { Clock } from '../../runtime/clock.ts'
import type { ApiObject } from '../api-server/api-object.ts'
import { specOf, statusOf } from '../api-server/api-object.ts'
import { DEPLOYMENTS, ENDPOINT_SLICES, PODS, SERVICES } from '../api-server/resources.ts'
import type { StoreEvent } from '../api-server/store.ts'
import type { ClusterLab } from '../cluster-lab.ts'
import type { NetHost } from '../net-host.ts'
import { NODE_PORT, SERVICE_PORT, webDeployment, webService } from './manifests.ts'
import { readyPodsOf } from './slice-pods.ts'
import type { Target } from './clients.ts'
import type { Pace } from './pace.ts'
import type { Tally } from './tally.ts'
import type { TerminalView } from './terminal-view.ts'

const STEP_MS = 20

export interface DemoWorldOptions {
  readonly lab: ClusterLab
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly pods: number
  readonly pace: Pace
  readonly tally: Tally
  readonly view: TerminalView
}

export class DemoWorld {
  readonly lab: ClusterLab
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly podCount: number
  readonly pace: Pace
  readonly tally: Tally
  readonly view: TerminalView
  /** Called when the API stops naming a pod as ready. */
  onPodGone: (pod: string, atMs: number) => void = () => undefined
  #named: ReadonlySet<string> = new Set()

  constructor(options: DemoWorldOptions) {
    this.lab = options.lab
    this.clock = options.clock
    this.signal = options.signal
    this.podCount = options.pods
    this.pace = options.pace
    this.tally = options.tally
    this.view = options.view
  }

  /** Creates Deployment and Service, starts a Fairlead per node, and waits until all pods are ready. */
  async populate(): Promise<void> {
    const { api } = this.lab
    this.lab.startProxies()
    api.create(webDeployment(this.podCount, this.pace.preStopSeconds))
    api.create(webService())
    await this.until('all pods are ready', () => this.readyPods().length === this.podCount)
    this.#named = readyPodsOf(api.list(ENDPOINT_SLICES, 'default'))
    api.store.subscribe((event) => this.#follow(event))
  }

  /** Resolves to `measure()` at the first answered connection to the Service. */
  async firstAnswer(measure: () => number): Promise<number> {
    const url = `http://${this.clusterIp()}/`
    for (;;) {
      const result = await this.node.exec.run({
        file: 'curl',
        args: ['-s', '-m', String(this.pace.timeoutMs / 1000), url],
        signal: this.signal,
      })
      if (result.exitCode === 0) return measure()
      await this.pause(STEP_MS)
    }
  }

  clusterIp(): string {
    return textOf(specOf(this.lab.api.get(SERVICES, 'web', 'default'))['clusterIP'])
  }

  get node(): NetHost {
    const [first] = this.lab.nodes
    if (first === undefined) throw new Error('The lab has no node')
    return first.host
  }

  pods(): readonly ApiObject[] {
    return this.lab.api.list(PODS, 'default')
  }

  readyPods(): readonly ApiObject[] {
    const { api } = this.lab
    const named = readyPodsOf(api.list(ENDPOINT_SLICES, 'default'))
    return this.pods().filter((pod) => named.has(pod.metadata.name))
  }

  /** A client in a pod of its own, one on a node, one outside; the last dials the NodePort. */
  targets(clientPod: NetHost): readonly Target[] {
    const ip = this.clusterIp()
    const lastNode = this.lab.nodes.at(-1)
    const nodePortIp = `192.168.100.${lastNode?.number ?? 1}`
    return [
      { kind: 'pod', host: clientPod, ip, port: SERVICE_PORT },
      { kind: 'node', host: this.node, ip, port: SERVICE_PORT },
      { kind: 'outside', host: this.lab.outside, ip: nodePortIp, port: NODE_PORT },
    ]
  }

  scale(replicas: number): void {
    const ref = { definition: DEPLOYMENTS, namespace: 'default', name: 'web' }
    this.lab.api.registry.modify(ref, (current) => ({ ...current, spec: { ...specOf(current), replicas } }))
  }

  /** Waits for a state; throws when patience is over, or when the demo is ended. */
  async until(what: string, holds: () => boolean): Promise<void> {
    const { patienceMs } = this.pace
    const deadlineMs = this.clock.monotonic() + patienceMs
    while (!holds()) {
      if (this.clock.monotonic() > deadlineMs)
        throw new Error(
          `Cannot go on: after ${patienceMs / 1000} s it is not true that ${what}; look at the load of the machine`,
        )
      await this.pause(STEP_MS)
    }
  }

  async pause(ms: number): Promise<void> {
    await this.clock.sleep(ms, this.signal)
  }

  podIp(pod: ApiObject): string {
    return textOf(statusOf(pod)['podIP'])
  }

  #follow({ definition }: StoreEvent): void {
    if (definition !== ENDPOINT_SLICES) return
    const now = this.clock.now()
    const named = readyPodsOf(this.lab.api.list(ENDPOINT_SLICES, 'default'))
    for (const pod of named) if (!this.#named.has(pod)) this.tally.announce(pod, now)
    for (const pod of this.#named) if (!named.has(pod)) this.onPodGone(pod, now)
    this.#named = named
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
