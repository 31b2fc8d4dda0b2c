import { spawn } from 'node:child_process'
import type { Exec, ExecRequest, ExecResult } from './exec.ts'
import { KernelError, type KernelErrorCode } from './kernel-error.ts'

const DEFAULT_TIMEOUT_MS = 60_000

export interface ProgramRunnerOptions {
  /** Put before every command, e.g. `['nsenter', '--net=/proc/1234/ns/net']`: how tests and the lab enter a node. */
  readonly prefix?: readonly string[]
  /** Environment of the programs; default: ours, with the C locale so that messages can be classified. */
  readonly env?: NodeJS.ProcessEnv
}

/** Runs real programs. Exit code and output are the result; only "it never ran to its end" is an error here. */
export class ProgramRunner implements Exec {
  readonly #prefix: readonly string[]
  readonly #env: NodeJS.ProcessEnv

  constructor(options: ProgramRunnerOptions = {}) {
    this.#prefix = options.prefix ?? []
    const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
    this.#env = options.env ?? { ...process.env, PATH: path, LC_ALL: 'C' }
  }

  async run(request: ExecRequest): Promise<ExecResult> {
    const [file, ...args] = [...this.#prefix, request.file, ...request.args] as [string, ...string[]]
    const startedMs = performance.now()
    const timeoutMs = request.timeoutMs ?? DEFAULT_TIMEOUT_MS
    return new Promise((resolve, reject) => {
      const child = spawn(file, args, {
        env: this.#env,
        stdio: ['pipe', 'pipe', 'pipe'],
        signal: request.signal,
      })
      const stdout: Buffer[] = []
      const stderr: Buffer[] = []
      let timedOut = false
      const timer = setTimeout(() => {
        timedOut = true
        child.kill('SIGKILL')
      }, timeoutMs)
      child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
      child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
      // A program that ends before it has read everything closes the pipe; its exit code tells the rest.
      child.stdin.on('error', () => undefined)
      child.on('error', (cause: NodeJS.ErrnoException) => {
        clearTimeout(timer)
        reject(neverRan(request, cause))
      })
      child.on('close', (exitCode, killedBy) => {
        clearTimeout(timer)
        const errorText = Buffer.concat(stderr).toString('utf8')
        if (exitCode === null)
          reject(
            killed(request, timedOut ? `${timeoutMs} ms passed` : `signal ${killedBy ?? '?'}`, errorText),
          )
        else
          resolve({
            exitCode,
            stdout: Buffer.concat(stdout).toString('utf8'),
            stderr: errorText,
            durationMs: performance.now() - startedMs,
          })
      })
      child.stdin.end(request.stdin ?? '')
    })
  }
}

function failure(request: ExecRequest, code: KernelErrorCode, stderr: string, remedy: string) {
  const command = [request.file, ...request.args]
  return { code, command, exitCode: undefined, stderr, script: request.stdin ?? '', line: undefined, remedy }
}

function neverRan(request: ExecRequest, cause: NodeJS.ErrnoException): Error {
  if (cause.name === 'AbortError') return cause
  const missing = cause.code === 'ENOENT'
  const remedy = missing ? `install the package that contains "${request.file}"` : 'run as root'
  const code = missing ? 'missing-tool' : 'permission'
  const message = `Cannot run ${request.file}: ${missing ? 'no such program in PATH' : cause.message}; ${remedy}`
  return new KernelError(message, failure(request, code, '', remedy), { cause })
}

function killed(request: ExecRequest, why: string, stderr: string): Error {
  const remedy = 'look for a process that holds the xtables lock or for an overloaded machine'
  return new KernelError(
    `Cannot finish ${request.file}: ended after ${why}; ${remedy}`,
    failure(request, 'timeout', stderr, remedy),
  )
}
