/**
 * A whole Kubernetes node network on one machine: nodes, pods, a machine outside, the API server, and one Fairlead per
 * node. Everything lives in namespaces of its own and ends with this process; what a killed process left of its files
 * is removed by the next lab.
 */
import { type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { BackendName } from '../backends/backend.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import { API_SERVER_IP, nodeIp, podCidr } from './address-plan.ts'
import type { ApiObject } from './api-server/api-object.ts'
import { ApiServer } from './api-server/api-server.ts'
import { forwardIntoLab } from './foreign-listener.ts'
import { Kubelet } from './kubelet.ts'
import type { NetHost } from './net-host.ts'
import { requireNetwork } from './networks/kernel-needs.ts'
import type { LabNodePlace, PodNetwork } from './networks/pod-network.ts'
import { OwnDirectory, removeOrphanedDirectories } from './own-directory.ts'
import { masqueradePodsToOutside, Underlay } from './underlay.ts'

const API_PORT = 6443
const TOKEN = 'lab'
/**
 * Real nodes have processors of their own. From so many nodes for each of ours, the proxies would take all of them to
 * follow each of hundreds of pods that start, and the pods none.
 */
const CROWDED = 4

export interface ClusterLabOptions {
  readonly nodes: number
  readonly network: PodNetwork
  readonly mode: BackendName
  /** Program with arguments that starts Fairlead, e.g. `[node, dist/main.js]`. */
  readonly program: readonly string[]
  /** Further flags for every Fairlead. */
  readonly flags: readonly string[]
  /** The `iptables` program for the lab's own rule; must be of the variant that Fairlead uses. */
  readonly iptables: string
  readonly log: Logger
  /** Ends the start of the lab; a lab that is up ends by `down`. */
  readonly signal?: AbortSignal
}

export class ClusterLab {
  readonly api: ApiServer
  readonly kubelet: Kubelet
  readonly nodes: readonly LabNodePlace[]
  readonly outside: NetHost
  /** Holds logs, pods' files and the kubeconfig; gone with the lab. */
  readonly directory: string
  readonly #options: ClusterLabOptions
  /** What `down` takes away, in the order in which it was made. */
  readonly #made: AsyncDisposableStack
  readonly #proxies = new Set<ChildProcess>()

  private constructor(options: ClusterLabOptions, parts: LabParts) {
    this.#options = options
    this.api = parts.api
    this.nodes = parts.nodes
    this.outside = parts.outside
    this.directory = parts.directory
    this.#made = parts.made
    const { network, log } = options
    this.kubelet = new Kubelet({
      api: parts.api,
      nodes: parts.nodes,
      network,
      directory: parts.directory,
      clock: systemClock,
      log,
    })
  }

  /** Rejects, with nothing left behind, when the machine cannot carry a lab or `signal` ended it. */
  static async up(options: ClusterLabOptions): Promise<ClusterLab> {
    removeOrphanedDirectories()
    await requireNetwork(options.network)
    const made = new AsyncDisposableStack()
    try {
      const parts = await makeParts(options, made)
      options.signal?.throwIfAborted()
      const lab = new ClusterLab(options, { ...parts, made: made.move() })
      lab.#writeKubeconfigs()
      lab.kubelet.start()
      return lab
    } catch (error) {
      await made.disposeAsync()
      throw error
    }
  }

  /** For `kubectl` on the machine that runs the lab. */
  get kubeconfigPath(): string {
    return join(this.directory, 'kubeconfig')
  }

  /** Starts Fairlead on every node; its log goes to `proxy-<node>.log` in the directory. */
  startProxies(): void {
    for (const node of this.nodes) this.startProxy(node)
  }

  startProxy(node: LabNodePlace): ChildProcess {
    const { program, mode, flags, network } = this.#options
    const log = openSync(this.proxyLog(node), 'a')
    const state = join(this.directory, `state-${node.number}`)
    mkdirSync(state, { recursive: true })
    const own = [
      `--mode=${mode}`,
      `--kubeconfig=${this.#innerKubeconfig}`,
      `--hostname-override=${node.host.name}`,
      `--state-dir=${state}`,
      `--explain-socket=${this.explainSocket(node)}`,
    ]
    // Real nodes have a lock file each; namespaces on one machine would wait for each other.
    const env = { XTABLES_LOCKFILE: join(state, 'xtables.lock') }
    const child = node.host.spawnProgram([...program, ...own, ...network.flags, ...flags], {
      stdio: ['ignore', log, log],
      env,
    })
    closeSync(log)
    this.#proxies.add(child)
    child.once('exit', () => this.#proxies.delete(child))
    return child
  }

  /** Where the Fairlead of a node answers `explain`, `dump` and `diff`. */
  explainSocket(node: LabNodePlace): string {
    return join(this.directory, `state-${node.number}`, 'fairlead.sock')
  }

  proxyLog(node: LabNodePlace): string {
    return join(this.directory, `proxy-${node.number}.log`)
  }

  /** Ends everything; safe to call twice. */
  async down(): Promise<void> {
    await this.kubelet.stop()
    const ended = [...this.#proxies].map(async (child) => {
      child.kill('SIGKILL')
      await once(child, 'exit')
    })
    await Promise.all(ended)
    await this.#made.disposeAsync()
  }

  get #innerKubeconfig(): string {
    return join(this.directory, 'kubeconfig-inside')
  }

  #writeKubeconfigs(): void {
    const inside = `https://${API_SERVER_IP}:${API_PORT}`
    writeFileSync(this.kubeconfigPath, this.api.kubeconfig(), { mode: 0o600 })
    writeFileSync(this.#innerKubeconfig, this.api.kubeconfig(inside), { mode: 0o600 })
  }
}

interface LabParts {
  readonly api: ApiServer
  readonly nodes: readonly LabNodePlace[]
  readonly outside: NetHost
  readonly directory: string
  readonly made: AsyncDisposableStack
}

/** Whatever was made when this rejects is in `made`. */
async function makeParts(
  options: ClusterLabOptions,
  made: AsyncDisposableStack,
): Promise<Omit<LabParts, 'made'>> {
  const { signal, network, iptables } = options
  const directory = made.adopt(new OwnDirectory('lab'), (own) => own.remove()).path
  const api = new ApiServer({
    tls: true,
    token: TOKEN,
    gracefulPods: true,
    certificateHosts: [API_SERVER_IP],
    endpointUpdatesBatchMs: options.nodes > CROWDED * availableParallelism() ? 1000 : 0,
  })
  await api.start()
  made.defer(async () => api.stop())
  signal?.throwIfAborted()
  const underlay = made.adopt(await Underlay.create(), async (wire) => wire.close())
  const numbers = Array.from({ length: options.nodes }, (_, i) => i + 1)
  const [outside, ...nodes] = await Promise.all([
    underlay.addExternalClient(),
    ...numbers.map(async (number) => underlay.addNode(number)),
  ])
  signal?.throwIfAborted()
  const prepared = nodes.map(async (node) => {
    await network.prepareNode(node, nodes)
    await masqueradePodsToOutside(node, iptables)
  })
  await Promise.all(prepared)
  for (const node of nodes) api.create(nodeObject(node, systemClock))
  const target = { port: Number(new URL(api.url).port) }
  const relay = await forwardIntoLab(underlay.host, { ip: API_SERVER_IP, port: API_PORT }, target)
  made.defer(() => void relay.close())
  return { api, nodes, outside, directory }
}

function nodeObject({ number, host }: LabNodePlace, clock: Clock): ApiObject {
  const zone = `zone-${number % 2 === 1 ? 'a' : 'b'}`
  const labels = { 'kubernetes.io/hostname': host.name, 'topology.kubernetes.io/zone': zone }
  const ready = { type: 'Ready', status: 'True', lastHeartbeatTime: new Date(clock.now()).toISOString() }
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: host.name, labels },
    spec: { podCIDR: podCidr(number), podCIDRs: [podCidr(number)] },
    status: {
      addresses: [
        { type: 'InternalIP', address: nodeIp(number) },
        { type: 'Hostname', address: host.name },
      ],
      conditions: [ready],
    },
  }
}
