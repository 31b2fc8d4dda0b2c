/**
 * Programs inside a namespace of the bed. Unlike the lab's containers they share the machine's process numbers, so that
 * what they cost can be read from /proc; they die with the bench all the same.
 */
import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { createInterface, type Interface } from 'node:readline'
import type { NetHost } from '../src/lab/net-host.ts'

export interface InsideOptions {
  readonly stdio?: StdioOptions
  readonly env?: NodeJS.ProcessEnv
}

/** The process that is returned is the program itself. */
export function spawnInside(
  host: NetHost,
  command: readonly string[],
  options: InsideOptions = {},
): ChildProcess {
  const enter = ['--pdeathsig', 'KILL', '--', 'nsenter', `--net=/proc/${host.pid}/ns/net`, '--']
  const { stdio = 'ignore', env = {} } = options
  return spawn('setpriv', [...enter, ...command], { stdio, env: { ...process.env, ...env } })
}

/** A conversation in lines with a program inside. */
export class Talker {
  readonly child: ChildProcess
  readonly #lines: Interface
  readonly #waiting: { resolve: (line: string) => void; reject: (error: Error) => void }[] = []
  readonly #received: string[] = []
  readonly #name: string
  #ended = false

  constructor(host: NetHost, name: string, command: readonly string[]) {
    this.#name = name
    this.child = spawnInside(host, command, { stdio: ['pipe', 'pipe', 'inherit'] })
    if (this.child.stdout === null) throw new Error(`Cannot talk to ${name}: it has no standard output`)
    this.#lines = createInterface({ input: this.child.stdout })
    this.#lines.on('line', (line) => {
      const next = this.#waiting.shift()
      if (next === undefined) this.#received.push(line)
      else next.resolve(line)
    })
    this.child.on('error', () => this.#fail())
    this.child.on('close', () => this.#fail())
  }

  say(line: string): void {
    this.child.stdin?.write(`${line}\n`)
  }

  /** The next line; rejects when the program has ended. */
  async hear(): Promise<string> {
    const line = this.#received.shift()
    if (line !== undefined) return line
    if (this.#ended) throw this.#failure()
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  async ask(line: string): Promise<string> {
    this.say(line)
    return this.hear()
  }

  async stop(): Promise<void> {
    if (this.#ended) return
    const closed = once(this.child, 'close')
    this.child.stdin?.end()
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 5000)
    await closed
    clearTimeout(timer)
  }

  #fail(): void {
    this.#ended = true
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure())
  }

  #failure(): Error {
    return new Error(
      `Cannot measure: the program "${this.#name}" of the bench ended early; see its message above`,
    )
  }
}
