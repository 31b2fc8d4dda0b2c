/**
 * One running pod: a namespace held by a pause process, an address from the pod network, and the containers as
 * processes inside, which share that address and each other's localhost.
 */
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
      for (const image of options.images) sandbox.#startContainer(image, podName)
      await sandbox.#answersOnLocalhost(options.images)
      return sandbox
    } catch (error) {
      await host.close()
      throw error
    }
  }

  /** Ends every process of the pod at once and takes its address away. */
  async stop(): Promise<void> {
    await this.host.close()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  #startContainer(image: string, podName: string): void {
    if (image === 'web') {
      writeFileSync(join(this.#directory, 'index.html'), `${podName}\n`)
      this.host.spawn(['busybox', 'httpd', '-f', '-p', String(WEB_PORT), '-h', this.#directory])
      return
    }
    // Every other image is a neighbour that asks the pod's web server over localhost and leaves the answer beside it.
    const file = join(this.#directory, 'sidecar.txt')
    const ask = `busybox wget -q -O - http://127.0.0.1:${WEB_PORT}/`
    this.host.spawn([
      'sh',
      '-c',
      `while :; do echo "on localhost I meet: $(${ask})" > ${file}; sleep 1; done`,
    ])
  }

  /** A pod is ready when its server answers its neighbour. */
  async #answersOnLocalhost(images: readonly string[]): Promise<void> {
    if (!images.includes('web')) return
    const ask = `busybox wget -q -O - http://127.0.0.1:${WEB_PORT}/`
    const wait = `n=0; until ${ask} >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 200 ] || exit 1; sleep 0.02; done`
    await this.host.run('sh', ['-c', wait])
  }
}
