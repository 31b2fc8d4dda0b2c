/** A service proxy while it is measured. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import type { Bed } from './bed.ts'
import { spawnInside } from './inside.ts'
import type { Subject } from './subjects.ts'

export class RunningProxy {
  readonly pid: number
  /** Monotonic clock, ns, just before the process was made. */
  readonly startedNs: bigint
  readonly #child: ChildProcess
  #lastWords = ''

  private constructor(child: ChildProcess, startedNs: bigint) {
    if (child.pid === undefined)
      throw new Error('Cannot start the proxy: setpriv is missing; install util-linux')
    this.pid = child.pid
    this.startedNs = startedNs
    this.#child = child
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#lastWords = (this.#lastWords + chunk.toString('utf8')).slice(-2000)
    })
  }

  /** Its log goes to `<directory of the bed>/<name>.log`. */
  static start(bed: Bed, subject: Subject): RunningProxy {
    const { command, env } = subject.command(bed)
    const startedNs = process.hrtime.bigint()
    const child = spawnInside(bed.node, command, { stdio: ['ignore', 'pipe', 'pipe'], env })
    const log = createWriteStream(join(bed.directory, `${subject.name.replaceAll(' ', '-')}.log`), {
      flags: 'a',
    })
    child.stdout?.pipe(log, { end: false })
    child.stderr?.pipe(log, { end: false })
    return new RunningProxy(child, startedNs)
  }

  /** Throws with its last words when it has ended by itself. */
  assertAlive(): void {
    const { exitCode, signalCode } = this.#child
    if (exitCode === null && signalCode === null) return
    throw new Error(
      `Cannot measure: the proxy ended (${exitCode ?? signalCode ?? '?'}): ${this.#lastWords.trim()}`,
    )
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill(signal)
    await ended
  }
}
