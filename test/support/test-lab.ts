/** A lab for end-to-end tests: the built program on real nodes, a Service with pods, and clients that never pause. */
import { once } from 'node:events'
import { resolve } from 'node:path'
import type { ChildProcess } from 'node:child_process'
import type { BackendName } from '../../src/backends/backend.ts'
import { type ApiObject, specOf } from '../../src/lab/api-server/api-object.ts'
import { ENDPOINT_SLICES, PODS, SERVICES } from '../../src/lab/api-server/resources.ts'
import { ClusterLab } from '../../src/lab/cluster-lab.ts'
import { webDeployment, webService } from '../../src/lab/demo/manifests.ts'
import { readyPodsOf } from '../../src/lab/demo/slice-pods.ts'
import type { LabNodePlace, PodNetworkName } from '../../src/lab/networks/pod-network.ts'
import { POD_NETWORKS } from '../../src/lab/networks/pod-networks.ts'
import { silentLogger } from '../../src/runtime/logger.ts'

const ROOT = resolve(import.meta.dirname, '../..')

export interface TestLabChoices {
  readonly mode?: BackendName
  readonly network?: PodNetworkName
  readonly nodes?: number
  readonly pods?: number
  readonly flags?: readonly string[]
  readonly iptables?: string
}

export class TestLab {
  readonly lab: ClusterLab

  private constructor(lab: ClusterLab) {
    this.lab = lab
  }

  /** Up, with the Service `web` and its pods; no proxy runs yet. */
  static async up(choices: TestLabChoices = {}): Promise<TestLab> {
    const {
      mode = 'iptables',
      network = 'bridge',
      nodes = 1,
      pods = 2,
      flags = [],
      iptables = 'iptables',
    } = choices
    const program = [`${ROOT}/node_modules/node/bin/node`, `${ROOT}/dist/main.js`]
    const lab = await ClusterLab.up({
      ...{ mode, nodes, flags, iptables, program },
      network: POD_NETWORKS[network],
      log: silentLogger,
    })
    const test = new TestLab(lab)
    lab.api.create(webDeployment(pods))
    lab.api.create(webService())
    await test.until('all pods are ready', () => test.readyPods().size === pods)
    return test
  }

  get node(): LabNodePlace {
    return this.lab.nodes[0]!
  }

  readyPods(): ReadonlySet<string> {
    return readyPodsOf(this.lab.api.list(ENDPOINT_SLICES, 'default'))
  }

  pods(): readonly ApiObject[] {
    return this.lab.api.list(PODS, 'default')
  }

  clusterIp(service = 'web'): string {
    return specOf(this.lab.api.get(SERVICES, service, 'default'))['clusterIP'] as string
  }

  /** What answers a new connection from the node: the pod's name, or what curl says (`exit 7`: refused). */
  async ask(address: string, from = this.node.host): Promise<string> {
    const { stdout, exitCode } = await from.exec.run({
      file: 'curl',
      args: ['-s', '-m', '2', `http://${address}/`],
    })
    return exitCode === 0 ? stdout.trim() : `exit ${exitCode}`
  }

  /** Polls; rejects after `seconds` with what was hoped for. */
  async until(what: string, holds: () => boolean | Promise<boolean>, seconds = 30): Promise<void> {
    const deadline = Date.now() + seconds * 1000
    while (!(await holds())) {
      if (Date.now() > deadline) throw new Error(`After ${seconds} s it is not true that ${what}`)
      await new Promise((next) => setTimeout(next, 10))
    }
  }

  async untilAnswered(address: string): Promise<void> {
    await this.until(`${address} answers`, async () => !(await this.ask(address)).startsWith('exit'))
  }

  async down(): Promise<void> {
    await this.lab.down()
  }
}

export async function kill(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  child.kill(signal)
  await once(child, 'exit')
  return child.exitCode
}
