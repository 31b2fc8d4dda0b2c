/** A service proxy while it is measured. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Bed } from './bed.ts'
import { spawnInside } from './inside.ts'
import type { Subject } from './subjects.ts'

export class RunningProxy {
  readonly pid: number
  /** Monotonic clock, ns, just before the process was made. */
  readonly startedNs: bigint
  readonly #child: ChildProcess
  readonly #logFile: string
  #lastWords = ''

  private constructor(child: ChildProcess, startedNs: bigint, logFile: string) {
    if (child.pid === undefined)
      throw new Error('Cannot start the proxy: setpriv is missing; install util-linux')
    this.pid = child.pid
    this.startedNs = startedNs
    this.#child = child
    this.#logFile = logFile
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#lastWords = (this.#lastWords + chunk.toString('utf8')).slice(-50_000)
    })
  }

  /** Its log goes to `<directory of the bed>/<name>.log`. */
  static start(bed: Bed, subject: Subject): RunningProxy {
    const { command, env } = subject.command(bed)
    const startedNs = process.hrtime.bigint()
    const child = spawnInside(bed.node, command, { stdio: ['ignore', 'pipe', 'pipe'], env })
    const logFile = join(bed.directory, `${subject.name.replaceAll(' ', '-')}.log`)
    const log = createWriteStream(logFile, { flags: 'a' })
    child.stdout?.pipe(log, { end: false })
    child.stderr?.pipe(log, { end: false })
    return new RunningProxy(child, startedNs, logFile)
  }

  /**
   * When a line with all these words was last logged, ms since the start of the process; `undefined`: never, or not as
   * Fairlead does it.
   */
  loggedAtMs(...words: readonly string[]): number | undefined {
    const line = readFileSync(this.#logFile, 'utf8')
      .split('\n')
      .findLast((text) => words.every((word) => text.includes(word)))
    const epochMs = Date.parse(line?.split(' ')[0] ?? '')
    const startedEpochMs = Date.now() - Number(process.hrtime.bigint() - this.startedNs) / 1e6
    return Number.isNaN(epochMs) ? undefined : epochMs - startedEpochMs
  }

  /** Throws with its last words when it has ended by itself. */
  assertAlive(): void {
    const { exitCode, signalCode } = this.#child
    if (exitCode === null && signalCode === null) return
    throw new Error(`Cannot measure: the proxy ended (${exitCode ?? signalCode ?? '?'}): ${this.#lastWord}`)
  }

  /** What a Go program calls fatal; the stacks of its goroutines follow. Otherwise the last line. */
  get #lastWord(): string {
    const lines = this.#lastWords.trim().split('\n')
    return lines.findLast((line) => /^F\d{4} /.test(line)) ?? lines.at(-1) ?? ''
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill(signal)
    await ended
  }
}
