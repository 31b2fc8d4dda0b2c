/** The last scene: clients connect without pause while everything happens to the pods that can happen to pods. */
import type { ApiObject } from '../api-server/api-object.ts'
import { specOf } from '../api-server/api-object.ts'
import { DEPLOYMENTS, PODS } from '../api-server/resources.ts'
import type { NetHost } from '../net-host.ts'
import { Clients } from './clients.ts'
import type { DemoWorld } from './demo-world.ts'
import type { Milestone } from './report-page.ts'
import type { Phase } from './tally.ts'

export interface Survival {
  readonly restarts: number
  readonly killKnownMs: number | undefined
  readonly milestones: readonly Milestone[]
}

const CLIENT_POD = 'client'

export async function survivalScene(world: DemoWorld, seconds: number): Promise<Survival> {
  world.view.say(
    [
      '\n4. Survival',
      '   Three clients open one new connection after another: from a pod and from a node to the ClusterIP, from',
      '   outside to the NodePort. Meanwhile pods are replaced, one is killed, and all are scaled away and back.',
    ].join('\n'),
  )
  const story = new Story(world)
  const { connectEveryMs, timeoutMs, patienceMs } = world.pace
  const clients = new Clients(
    world.targets(await clientPod(world)),
    { paceMs: connectEveryMs, timeoutMs, atMostSeconds: seconds + (8 * patienceMs) / 1000 },
    (kind, report) => {
      world.tally.add(kind, report)
      world.view.show(world.tally)
    },
  )
  const pauseMs = Math.max(500, (seconds * 1000) / 8)
  await world.until('every client is answered', () =>
    Object.values(world.tally.totals()).every(({ total, failed }) => total > failed),
  )
  await world.pause(pauseMs)
  await story.rollingRestart()
  await world.pause(pauseMs)
  await story.kill()
  await world.pause(pauseMs)
  await story.toZeroAndBack(pauseMs)
  await world.pause(pauseMs)
  await clients.stop()
  return story.survival()
}

/** A pod of its own for the client, so that it is not among those that are replaced. */
async function clientPod(world: DemoWorld): Promise<NetHost> {
  const { lab } = world
  const metadata = { name: CLIENT_POD, namespace: 'default', labels: { app: 'client' } }
  lab.api.create({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: { containers: [{ name: 'client', image: 'sidecar' }] },
  })
  await world.until('the client pod runs', () => lab.kubelet.sandboxOf('default', CLIENT_POD) !== undefined)
  const sandbox = lab.kubelet.sandboxOf('default', CLIENT_POD)
  if (sandbox === undefined) throw new Error('Cannot start the client pod')
  return sandbox.host
}

class Story {
  readonly #world: DemoWorld
  readonly #milestones: Milestone[] = []
  #restarts = 0
  #killKnownMs: number | undefined

  constructor(world: DemoWorld) {
    this.#world = world
  }

  survival(): Survival {
    return { restarts: this.#restarts, killKnownMs: this.#killKnownMs, milestones: this.#milestones }
  }

  /** Every pod is replaced, one after another, as `kubectl rollout restart` does it. */
  async rollingRestart(): Promise<void> {
    const world = this.#world
    const before = new Set(this.#webPods().map((pod) => pod.metadata.uid))
    this.#begin('rolling-restart', 'rolling restart')
    world.lab.api.registry.modify(
      { definition: DEPLOYMENTS, namespace: 'default', name: 'web' },
      withRestartMark,
    )
    await world.until('every pod was replaced', () => {
      const pods = this.#webPods()
      return (
        pods.length === before.size && pods.every((pod) => !before.has(pod.metadata.uid)) && this.#allReady()
      )
    })
    await this.#untilReached()
    this.#restarts += before.size
    this.#begin('calm', '')
  }

  /** All processes of one pod end at once; nobody is told. */
  async kill(): Promise<void> {
    const world = this.#world
    const victim = world.readyPods()[0]?.metadata.name ?? ''
    world.onPodGone = (pod, atMs) => {
      if (pod === victim) this.#killKnownMs ??= atMs
    }
    this.#begin('kill', 'kill')
    await world.lab.kubelet.crash('default', victim)
    await world.until('the API knows of the crash', () => this.#killKnownMs !== undefined)
    await world.until('the killed pod is back', () => this.#allReady())
    await this.#untilReached()
    this.#restarts++
    this.#begin('calm', '')
  }

  async toZeroAndBack(pauseMs: number): Promise<void> {
    const world = this.#world
    this.#begin('scale-to-zero', 'scale to 0')
    world.scale(0)
    await world.until('no pod is left', () => this.#webPods().length === 0)
    this.#restarts += world.podCount
    await world.pause(pauseMs / 2)
    this.#begin('scale-back', `scale to ${world.podCount}`)
    world.scale(world.podCount)
    await world.until('all pods are back', () => this.#allReady())
    await this.#untilReached()
    this.#begin('calm', '')
  }

  /** Every endpoint that the API named got its first connection: the kernels follow. */
  async #untilReached(): Promise<void> {
    const { arrivals } = this.#world.tally
    await this.#world.until('every new endpoint was reached', () =>
      arrivals.every(({ reachedMs }) => reachedMs !== undefined),
    )
  }

  #webPods(): readonly ApiObject[] {
    return this.#world.lab.api.list(PODS, 'default').filter((pod) => pod.metadata.labels?.['app'] === 'web')
  }

  #allReady(): boolean {
    return this.#world.readyPods().length === this.#world.podCount
  }

  #begin(phase: Phase, mark: string): void {
    const atMs = this.#world.clock.now()
    this.#world.tally.beginPhase(phase, atMs)
    if (mark !== '') this.#milestones.push({ atMs, text: mark })
  }
}

/** The annotation that `kubectl rollout restart` writes: a new template, and so new pods. */
function withRestartMark(deployment: ApiObject): ApiObject {
  const spec = specOf(deployment)
  const template = (spec['template'] ?? {}) as { metadata?: { annotations?: Record<string, string> } }
  const annotations = {
    ...template.metadata?.annotations,
    'kubectl.kubernetes.io/restartedAt': new Date().toISOString(),
  }
  return {
    ...deployment,
    spec: { ...spec, template: { ...template, metadata: { ...template.metadata, annotations } } },
  }
}
