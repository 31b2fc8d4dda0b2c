/**
 * Runs real programs as children of a small shell. A test process has hundreds of megabytes, and to start a program from
 * it copies its page tables: milliseconds here, a quarter of a second in user-mode-linux. A shell has nothing to copy,
 * and enters the namespace once. Nothing is ended early: time limits are the test's, and an aborted program runs on.
 */
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Exec, ExecRequest, ExecResult, StandingProgram } from '../../src/kernel/exec.ts'
import { StandingChild } from '../../src/kernel/standing-child.ts'

export interface ShellRunnerOptions {
  /** Put before the shell, to enter a namespace. */
  readonly prefix: readonly string[]
  readonly env: NodeJS.ProcessEnv
}

/** What a shell says when there is no such program. */
const NOT_FOUND = 127

export class ShellRunner implements Exec {
  readonly #options: ShellRunnerOptions
  readonly #idle: Shell[] = []
  readonly #all: Shell[] = []
  readonly #standing: ChildProcess[] = []

  constructor(options: ShellRunnerOptions) {
    this.#options = options
  }

  async run(request: ExecRequest): Promise<ExecResult> {
    request.signal?.throwIfAborted()
    const startedMs = performance.now()
    const shell = this.#idle.pop() ?? this.#start()
    const result = await shell.run(request)
    this.#idle.push(shell)
    if (result.exitCode === NOT_FOUND) throw new Error(`Cannot run ${request.file}: ${result.stderr.trim()}`)
    return { ...result, durationMs: performance.now() - startedMs }
  }

  open({ file, args }: Pick<ExecRequest, 'file' | 'args'>): StandingProgram {
    const { prefix, env } = this.#options
    const [program = '', ...rest] = [...prefix, file, ...args]
    const child = spawn(program, rest, { env, stdio: ['pipe', 'pipe', 'ignore'] })
    this.#standing.push(child)
    return new StandingChild(child, [file, ...args])
  }

  /** Ends the shells and the programs that stay; another one that still runs is left to its end. */
  close(): void {
    for (const shell of this.#all) shell.end()
    for (const child of this.#standing) child.kill()
  }

  #start(): Shell {
    const shell = new Shell(this.#options)
    this.#all.push(shell)
    return shell
  }
}

/** One program after the other; input and output are files, the exit code is a line. */
class Shell {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'fairlead-shell-'))
  #waiting: { resolve: (exitCode: number) => void; reject: (error: Error) => void } | undefined

  constructor({ prefix, env }: ShellRunnerOptions) {
    const [file = '', ...args] = prefix
    // Also when the test process is killed, the inner shell's input ends, and the outer one clears up.
    const shell = ['sh', '-c', 'sh; rm -r "$1"', 'sh', this.#folder]
    this.#child = spawn(file, [...args, ...shell], { env, stdio: 'pipe' })
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#waiting?.resolve(Number(line)))
    const fail = (): void => this.#waiting?.reject(new Error('Cannot run programs: the shell has ended'))
    this.#child.on('error', fail).on('exit', fail)
    this.#child.stdin.on('error', fail)
  }

  async run({ file, args, stdin }: ExecRequest): Promise<Omit<ExecResult, 'durationMs'>> {
    const [input, output, errors] = ['in', 'out', 'err'].map((name) => join(this.#folder, name)) as [
      string,
      string,
      string,
    ]
    if (stdin !== undefined) writeFileSync(input, stdin)
    const command = [file, ...args].map(quoted).join(' ')
    const exitCode = await new Promise<number>((resolve, reject) => {
      this.#waiting = { resolve, reject }
      this.#child.stdin.write(
        `${command} <${stdin === undefined ? '/dev/null' : input} >${output} 2>${errors}; echo $?\n`,
      )
    })
    this.#waiting = undefined
    return { exitCode, stdout: readFileSync(output, 'utf8'), stderr: readFileSync(errors, 'utf8') }
  }

  end(): void {
    this.#child.stdin.end()
  }
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`
}
