/**
 * A whole Kubernetes node network on one machine: nodes, pods, a machine outside, the API server, and one Fairlead per
 * node. Everything lives in namespaces of its own and ends with this process.
 */
import { type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Server } from 'node:net'
import type { BackendName } from '../backends/backend.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import { API_SERVER_IP, nodeIp, podCidr } from './address-plan.ts'
import type { ApiObject } from './api-server/api-object.ts'
import { ApiServer } from './api-server/api-server.ts'
import { forwardIntoLab } from './foreign-listener.ts'
import { Kubelet } from './kubelet.ts'
import type { NetHost } from './net-host.ts'
import type { LabNodePlace, PodNetwork } from './networks/pod-network.ts'
import { masqueradePodsToOutside, Underlay } from './underlay.ts'

const API_PORT = 6443
const TOKEN = 'lab'

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
}

export class ClusterLab {
  readonly api: ApiServer
  readonly kubelet: Kubelet
  readonly nodes: readonly LabNodePlace[]
  readonly outside: NetHost
  /** Holds logs, pods' files and the kubeconfig; gone with the lab. */
  readonly directory: string
  readonly #options: ClusterLabOptions
  readonly #underlay: Underlay
  readonly #relay: Server
  readonly #proxies = new Map<number, ChildProcess>()

  private constructor(options: ClusterLabOptions, parts: LabParts) {
    this.#options = options
    this.api = parts.api
    this.nodes = parts.nodes
    this.outside = parts.outside
    this.directory = parts.directory
    this.#underlay = parts.underlay
    this.#relay = parts.relay
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

  /** Rejects, with nothing left behind, when the machine cannot carry a lab. */
  static async up(options: ClusterLabOptions): Promise<ClusterLab> {
    const directory = mkdtempSync(join(tmpdir(), 'fairlead-lab-'))
    const api = new ApiServer({
      tls: true,
      token: TOKEN,
      gracefulPods: true,
      certificateHosts: [API_SERVER_IP],
    })
    await api.start()
    const underlay = await Underlay.create()
    const numbers = Array.from({ length: options.nodes }, (_, i) => i + 1)
    const [outside, ...nodes] = await Promise.all([
      underlay.addExternalClient(),
      ...numbers.map((number) => underlay.addNode(number)),
    ])
    for (const node of nodes) {
      await options.network.prepareNode(node, nodes)
      await masqueradePodsToOutside(node, options.iptables)
      api.create(nodeObject(node, systemClock))
    }
    const target = { port: Number(new URL(api.url).port) }
    const relay = await forwardIntoLab(underlay.host, { ip: API_SERVER_IP, port: API_PORT }, target)
    const lab = new ClusterLab(options, { api, nodes, outside, directory, underlay, relay })
    lab.#writeKubeconfigs()
    lab.kubelet.start()
    return lab
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
    const own = [
      `--mode=${mode}`,
      `--kubeconfig=${this.#innerKubeconfig}`,
      `--hostname-override=${node.host.name}`,
    ]
    const state = join(this.directory, `state-${node.number}`)
    mkdirSync(state, { recursive: true })
    // Real nodes have a lock file each; namespaces on one machine would wait for each other.
    const env = { XTABLES_LOCKFILE: join(state, 'xtables.lock') }
    const child = node.host.spawnProgram([...program, ...own, ...network.flags, ...flags], {
      stdio: ['ignore', log, log],
      env,
    })
    closeSync(log)
    this.#proxies.set(node.number, child)
    return child
  }

  proxyLog(node: LabNodePlace): string {
    return join(this.directory, `proxy-${node.number}.log`)
  }

  /** Ends everything; safe to call twice. */
  async down(): Promise<void> {
    await this.kubelet.stop()
    const ended = [...this.#proxies.values()].map(async (child) => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    })
    await Promise.all(this.nodes.map(async ({ host }) => host.close()))
    await Promise.all([...ended, this.outside.close(), this.#underlay.host.close()])
    this.#relay.close()
    await this.api.stop()
    rmSync(this.directory, { recursive: true, force: true })
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
  readonly underlay: Underlay
  readonly relay: Server
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
