/** The three clients of the demo: a pod, a node, and a machine outside, each connecting without pause. */
import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { NetHost } from '../net-host.ts'
import type { LoadReport } from '../load-client.ts'
import type { ClientKind } from './tally.ts'

export interface Target {
  readonly kind: ClientKind
  readonly host: NetHost
  readonly ip: string
  readonly port: number
}

export interface ClientSettings {
  readonly paceMs: number
  readonly timeoutMs: number
  /** After so many seconds a client ends whatever happens. */
  readonly atMostSeconds: number
}

/** `load-client` beside this folder, built or as source: whatever we run as. */
const LOAD_CLIENT = fileURLToPath(
  new URL(`../load-client.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url),
)

export class Clients {
  readonly #children: ChildProcess[] = []

  /** Starts one client per target; reports arrive until `stop`. */
  constructor(
    targets: readonly Target[],
    settings: ClientSettings,
    onReport: (kind: ClientKind, report: LoadReport) => void,
  ) {
    const { paceMs, timeoutMs, atMostSeconds } = settings
    for (const { kind, host, ip, port } of targets) {
      const args = [ip, port, paceMs, timeoutMs, atMostSeconds].map(String)
      const command = [process.execPath, '--disable-warning=ExperimentalWarning', LOAD_CLIENT, ...args]
      const child = host.spawn(command, { stdio: ['pipe', 'pipe', 'inherit'] })
      if (child.stdout === null)
        throw new Error('Cannot read what a client reports: it has no standard output')
      createInterface({ input: child.stdout }).on('line', (line) =>
        onReport(kind, JSON.parse(line) as LoadReport),
      )
      this.#children.push(child)
    }
  }

  /** Ends the clients after their open connections have had their time. */
  async stop(): Promise<void> {
    const ended = this.#children.map(
      (child) =>
        new Promise<void>((resolve) => {
          if (child.exitCode !== null || child.signalCode !== null) resolve()
          child.on('close', () => resolve())
        }),
    )
    for (const child of this.#children) child.stdin?.end()
    await Promise.all(ended)
  }
}
