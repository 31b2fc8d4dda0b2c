/**
 * One running pod: a namespace held by a pause process, an address from the pod network, and the containers as
 * processes inside, which share that address and each other's localhost.
 */
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Ip } from '../net/ip.ts'
import { podIp } from './address-plan.ts'
import { NetHost } from './net-host.ts'
import type { LabNodePlace, PodNetwork } from './networks/pod-network.ts'

/** The port that the image `web` listens on. */
export const WEB_PORT = 8080

export interface PodSandboxOptions {
  readonly podName: string
  readonly node: LabNodePlace
  /** Decides the pod's address; free on the node. */
  readonly index: number
  readonly network: PodNetwork
  readonly images: readonly string[]
  /** Where the pod's files may lie. */
  readonly directory: string
}

export class PodSandbox {
  readonly ip: Ip
  readonly index: number
  readonly host: NetHost
  readonly #directory: string
  /** Resolves when no process of the pod runs any more. */
  #containersEnded: Promise<unknown> = Promise.resolve()

  private constructor(host: NetHost, options: PodSandboxOptions, directory: string) {
    this.host = host
    this.index = options.index
    this.ip = podIp(options.node.number, options.index)
    this.#directory = directory
  }

  static async start(options: PodSandboxOptions): Promise<PodSandbox> {
    const { podName, node, index, network } = options
    const directory = join(options.directory, `${podName}-${index}`)
    mkdirSync(directory, { recursive: true })
    const host = await NetHost.create(podName)
    try {
      await network.attach({ node, index, host })
      const sandbox = new PodSandbox(host, options, directory)
      await sandbox.#startContainers(options)
      return sandbox
    } catch (error) {
      await host.close()
      throw error
    }
  }

  /** Ends every process of the pod at once and takes its address away. */
  async stop(): Promise<void> {
    await this.host.close()
    // The kernel ends them a moment after the pause process; meanwhile the server would miss its page.
    await this.#containersEnded
    rmSync(this.#directory, { recursive: true, force: true })
  }

  /** Resolves when the pod is ready: its server answers its neighbour. */
  async #startContainers({ images, podName }: PodSandboxOptions): Promise<void> {
    writeFileSync(join(this.#directory, 'index.html'), `${podName}\n`)
    const lines = images.map((image) => (image === 'web' ? WEB : images.includes('web') ? SIDECAR : IDLE))
    const ready = images.includes('web') ? `until ${ASK} >/dev/null; do sleep 0.05; done` : ':'
    const script = `${lines.join('\n')}\n${ready}\necho ready\nexec >&-\nwait`
    const containers = this.host.spawn(['sh', '-c', script, 'sh', this.#directory], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    this.#containersEnded = once(containers, 'exit')
    const { stdout } = containers
    if (stdout === null)
      throw new Error(`Cannot follow the start of pod ${podName}: it has no standard output`)
    const ended = once(containers, 'close').then(() => {
      throw new Error(`Cannot start pod ${podName}: its containers ended; is busybox installed?`)
    })
    ended.catch(() => undefined)
    await Promise.race([once(stdout, 'data'), ended])
    stdout.destroy()
  }
}

/** The images: commands of a shell that knows the pod's directory as `$1`. */
const ASK = `busybox wget -q -O - http://127.0.0.1:${WEB_PORT}/ 2>/dev/null`
const WEB = `busybox httpd -f -p ${WEB_PORT} -h "$1" >/dev/null &`
/** A neighbour that asks the pod's web server over localhost and leaves the answer beside it. */
const SIDECAR = `( until answer=$(${ASK}); do sleep 0.05; done
  echo "on localhost I meet: $answer" > "$1/sidecar.txt"; exec sleep infinity >/dev/null ) &`
const IDLE = 'sleep infinity >/dev/null &'
