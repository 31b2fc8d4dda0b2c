/**
 * The lab's scheduler and kubelets in one: gives every new Pod a node, runs it as a sandbox, reports its state, and
 * honours grace periods when it is deleted. A pod that is killed comes back with a new address.
 */
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import { nodeIp } from './address-plan.ts'
import { type ApiObject, objectKey, specOf } from './api-server/api-object.ts'
import type { ApiServer } from './api-server/api-server.ts'
import type { JsonObject } from './api-server/json.ts'
import { PODS } from './api-server/resources.ts'
import type { StoreEvent } from './api-server/store.ts'
import { Gate } from './gate.ts'
import type { LabNodePlace, PodNetwork } from './networks/pod-network.ts'
import { PodSandbox } from './pod-sandbox.ts'
import {
  failedStatus,
  imagesOf,
  leavingStatus,
  type PodFacts,
  preStopSeconds,
  runningStatus,
} from './pod-status.ts'

/** kubelet looks for dead containers once a second; so long nobody knows that a killed pod is gone. */
const NOTICE_DEATH_MS = 1000
const PODS_PER_NODE = 250
/** A server that was told to stop fails its readiness probe and serves on for this share of its preStop time. */
const LAST_WORDS = 0.6
/** More at once would only wait for each other: the kernel changes one network device at a time. */
const STARTS_AT_ONCE = 8

export interface KubeletOptions {
  readonly api: ApiServer
  readonly nodes: readonly LabNodePlace[]
  readonly network: PodNetwork
  readonly directory: string
  readonly clock: Clock
  readonly log: Logger
}

interface RunningPod {
  readonly node: LabNodePlace
  sandbox: PodSandbox | undefined
  stopping: boolean
  startedMs: number
  restarts: number
}

export class Kubelet {
  readonly #options: KubeletOptions
  readonly #pods = new Map<string, RunningPod>()
  /** Next address to try, by node: a pod that comes back does not get its old one. */
  readonly #nextIndex = new Map<number, number>()
  readonly #work = new Set<Promise<void>>()
  readonly #starts = new Gate(STARTS_AT_ONCE)
  readonly #stop = new AbortController()
  #unsubscribe: () => void = () => undefined

  constructor(options: KubeletOptions) {
    this.#options = options
  }

  /** Begins with the Pods that exist. */
  start(): void {
    const { api } = this.#options
    for (const pod of api.list(PODS)) this.#added(pod)
    this.#unsubscribe = api.store.subscribe((event) => this.#follow(event))
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    this.#unsubscribe()
    await Promise.allSettled(this.#work)
    await Promise.all([...this.#pods.values()].map(async ({ sandbox }) => sandbox?.stop()))
    this.#pods.clear()
  }

  /** The running sandbox of a pod. */
  sandboxOf(namespace: string, name: string): PodSandbox | undefined {
    return this.#pods.get(objectKey(namespace, name))?.sandbox
  }

  /** Ends all processes of a pod without telling anybody, as a crash would. */
  async crash(namespace: string, name: string): Promise<void> {
    await this.sandboxOf(namespace, name)?.host.close()
  }

  #follow({ type, definition, entry }: StoreEvent): void {
    if (definition !== PODS) return
    const pod = entry.object
    if (type === 'DELETED') this.#begin(this.#remove(pod))
    else if (pod.metadata.deletionTimestamp !== undefined) this.#begin(this.#terminate(pod))
    else if (type === 'ADDED') this.#added(pod)
  }

  #added(pod: ApiObject): void {
    const key = keyOfPod(pod)
    if (this.#pods.has(key)) return
    const node = this.#place(pod)
    const running: RunningPod = { node, sandbox: undefined, stopping: false, startedMs: 0, restarts: 0 }
    this.#pods.set(key, running)
    this.#begin(this.#run(pod, running))
  }

  /** The node that the Pod names, else the one with the fewest pods. */
  #place(pod: ApiObject): LabNodePlace {
    const wanted = specOf(pod)['nodeName']
    const { nodes } = this.#options
    const named = nodes.find((node) => node.host.name === wanted)
    if (named !== undefined) return named
    const load = (node: LabNodePlace): number =>
      [...this.#pods.values()].filter((pod_) => pod_.node === node).length
    const [first, ...rest] = nodes
    if (first === undefined) throw new Error('Cannot place a pod: the lab has no node')
    return rest.reduce((best, node) => (load(node) < load(best) ? node : best), first)
  }

  async #run(pod: ApiObject, running: RunningPod): Promise<void> {
    const { network, directory, clock } = this.#options
    const { node } = running
    this.#update(pod, (current) => ({ ...current, spec: { ...specOf(current), nodeName: node.host.name } }))
    const images = imagesOf(pod)
    const podName = pod.metadata.name
    const sandbox = await this.#starts.pass(async () => {
      if (!this.#isWanted(running)) return undefined
      return PodSandbox.start({ podName, node, index: this.#takeIndex(node), network, images, directory })
    })
    if (sandbox === undefined) return
    running.sandbox = sandbox
    running.startedMs = clock.now()
    // Whoever ended the pod while it was starting found no sandbox to stop.
    if (!this.#isWanted(running)) {
      await sandbox.stop()
      return
    }
    void sandbox.host.ended.then(() => this.#begin(this.#ended(pod, running, sandbox)))
    this.#setStatus(pod, runningStatus(pod, this.#facts(running, sandbox)))
  }

  /** A sandbox ended that nobody stopped: its Pod is not ready, and after a moment runs again, elsewhere. */
  async #ended(pod: ApiObject, running: RunningPod, sandbox: PodSandbox): Promise<void> {
    if (!this.#isWanted(running) || running.sandbox !== sandbox) return
    const { clock } = this.#options
    running.sandbox = undefined
    await clock.sleep(NOTICE_DEATH_MS, this.#stop.signal)
    this.#setStatus(pod, failedStatus(pod, this.#facts(running, sandbox)))
    running.restarts++
    await sandbox.stop()
    if (this.#isWanted(running)) await this.#run(pod, running)
  }

  #isWanted(running: RunningPod): boolean {
    return !this.#stop.signal.aborted && !running.stopping
  }

  async #terminate(pod: ApiObject): Promise<void> {
    const running = this.#pods.get(keyOfPod(pod))
    if (running?.stopping === true) return
    if (running !== undefined) running.stopping = true
    await this.#windDown(pod, running)
    await this.#remove(pod)
    const ref = { definition: PODS, namespace: pod.metadata.namespace, name: pod.metadata.name }
    const uid = pod.metadata.uid
    if (this.#options.api.registry.find(ref)?.object.metadata.uid === uid)
      this.#options.api.registry.delete(ref, { gracePeriodSeconds: 0, uid })
  }

  /** What a well-behaved server does: sleeps its preStop, stops being ready, serves a moment longer. */
  async #windDown(pod: ApiObject, running: RunningPod | undefined): Promise<void> {
    const { clock } = this.#options
    const seconds = preStopSeconds(pod)
    if (running?.sandbox === undefined || seconds === 0) return
    const { signal } = this.#stop
    const { sandbox } = running
    await clock.sleep(seconds * 1000, signal)
    this.#setStatus(pod, leavingStatus(pod, this.#facts(running, sandbox)))
    await clock.sleep(seconds * 1000 * LAST_WORDS, signal)
  }

  async #remove(pod: ApiObject): Promise<void> {
    const key = keyOfPod(pod)
    const running = this.#pods.get(key)
    if (running === undefined) return
    running.stopping = true
    await running.sandbox?.stop()
    if (this.#pods.get(key) === running) this.#pods.delete(key)
  }

  #takeIndex(node: LabNodePlace): number {
    const used = new Set(
      [...this.#pods.values()].map(({ node: other, sandbox }) => (other === node ? sandbox?.index : -1)),
    )
    let index = this.#nextIndex.get(node.number) ?? 0
    while (used.has(index % PODS_PER_NODE)) index++
    this.#nextIndex.set(node.number, (index + 1) % PODS_PER_NODE)
    return index % PODS_PER_NODE
  }

  #facts({ node, startedMs, restarts }: RunningPod, { ip }: PodSandbox): PodFacts {
    return { ip, nodeIp: nodeIp(node.number), nowMs: this.#options.clock.now(), startedMs, restarts }
  }

  #setStatus(pod: ApiObject, status: JsonObject): void {
    this.#update(pod, (current) => ({ ...current, status }), 'status')
  }

  /** Changes the stored Pod unless it is gone. */
  #update(pod: ApiObject, change: (current: ApiObject) => ApiObject, subresource?: 'status'): void {
    const ref = { definition: PODS, namespace: pod.metadata.namespace, name: pod.metadata.name }
    const { registry } = this.#options.api
    if (registry.find(ref)?.object.metadata.uid === pod.metadata.uid)
      registry.modify(ref, change, { subresource })
  }

  #begin(work: Promise<void>): void {
    const settled = work
      .catch((error: unknown) => {
        if (!this.#stop.signal.aborted) this.#options.log.error({ err: error }, 'Cannot run a pod')
      })
      .finally(() => this.#work.delete(settled))
    this.#work.add(settled)
  }
}

function keyOfPod(pod: ApiObject): string {
  return objectKey(pod.metadata.namespace, pod.metadata.name)
}
