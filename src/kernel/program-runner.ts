import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { closeSync, existsSync, openSync, statSync, unlinkSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ownTurn } from '../runtime/own-turn.ts'
import type { Exec, ExecRequest, ExecResult, StandingProgram } from './exec.ts'
import { KernelError, type KernelErrorCode } from './kernel-error.ts'
import { StandingChild } from './standing-child.ts'

const SHORTEST_TIMEOUT_MS = 60_000
/** `iptables-nft-restore` takes 67 s for 47 MB of rules (5,000 Services with 50 endpoints) on a quiet machine. */
const TIMEOUT_MS_PER_CHARACTER = 0.005
/** Characters that are converted and written in one go, in about a millisecond. */
const PIECE_LENGTH = 500_000

export interface ProgramRunnerOptions {
  /** Put before every command, e.g. `['nsenter', '--net=/proc/1234/ns/net']`: how tests and the lab enter a node. */
  readonly prefix?: readonly string[]
  /** Environment of the programs; default: ours, with the C locale so that messages can be classified. */
  readonly env?: NodeJS.ProcessEnv
  /** Where input that is wanted as a file is put; default: in memory, if the system has a place for it. */
  readonly folder?: string
}

/** Runs real programs. Exit code and output are the result; only "it never ran to its end" is an error here. */
export class ProgramRunner implements Exec {
  readonly #prefix: readonly string[]
  readonly #env: NodeJS.ProcessEnv
  readonly #folder: string

  constructor(options: ProgramRunnerOptions = {}) {
    this.#prefix = options.prefix ?? []
    const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
    this.#env = options.env ?? { ...process.env, PATH: path, LC_ALL: 'C' }
    this.#folder = options.folder ?? (existsSync('/dev/shm') ? '/dev/shm' : tmpdir())
  }

  async run(request: ExecRequest): Promise<ExecResult> {
    // A start stops us until the program runs, milliseconds for a process with much memory; a dozen that are wanted at
    // the same time would add up.
    await ownTurn()
    const startedMs = performance.now()
    const input = request.stdinAsFile === true ? await this.#fileOrPipe(request.stdin ?? '') : 'pipe'
    const child = this.#start(request, input)
    const output = collect(child.stdout)
    const errors = collect(child.stderr)
    const timeoutMs = request.timeoutMs ?? timeoutFor(request.stdin ?? '')
    const end = await ended(child, timeoutMs).catch((cause: unknown) => {
      throw neverRan(request, cause as NodeJS.ErrnoException, this.#env['PATH'])
    })
    const stderr = errors()
    if (end.exitCode !== null)
      return { exitCode: end.exitCode, stdout: output(), stderr, durationMs: performance.now() - startedMs }
    if (end.timedOut) throw tooSlow(request, timeoutMs, stderr)
    throw crashed(request, end.signal ?? '?', stderr)
  }

  open({ file, args, signal }: Pick<ExecRequest, 'file' | 'args' | 'signal'>): StandingProgram {
    const [program, ...rest] = [...this.#prefix, file, ...args] as [string, ...string[]]
    const child = spawn(program, rest, { env: this.#env, stdio: ['pipe', 'pipe', 'ignore'], signal })
    return new StandingChild(child, [file, ...args])
  }

  #start(request: ExecRequest, input: number | 'pipe'): ChildProcess {
    const [file, ...args] = [...this.#prefix, request.file, ...request.args] as [string, ...string[]]
    const stdio: StdioOptions = [input, 'pipe', 'pipe']
    const child = spawn(file, args, { env: this.#env, stdio, signal: request.signal })
    if (typeof input === 'number') closeSync(input)
    // A program that ends before it has read everything closes the pipe; its exit code tells the rest.
    if (child.stdin !== null)
      pipeline(Readable.from(pieces(request.stdin ?? '')), child.stdin).catch(() => undefined)
    return child
  }

  /** A file where one can be made; most programs can do without. */
  async #fileOrPipe(content: string): Promise<number | 'pipe'> {
    return unlinkedFile(content, this.#folder).catch(() => 'pipe' as const)
  }
}

/** Milliseconds: who is told much may take long. */
export function timeoutFor(stdin: string): number {
  return SHORTEST_TIMEOUT_MS + Math.round(stdin.length * TIMEOUT_MS_PER_CHARACTER)
}

interface End {
  /** `null`: a signal ended it. */
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
  readonly timedOut: boolean
}

/** Rejects when the program could not be started, or was aborted. */
function ended(child: ChildProcess, timeoutMs: number): Promise<End> {
  return new Promise((resolve, reject) => {
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      child.kill('SIGKILL')
    }, timeoutMs)
    child.on('error', (cause) => {
      clearTimeout(timer)
      reject(cause)
    })
    child.on('close', (exitCode, signal) => {
      clearTimeout(timer)
      resolve({ exitCode, signal, timedOut })
    })
  })
}

/** Whole lines: the first text of a large cluster is 15 MB, and writing it at once would keep everybody waiting. */
function* pieces(text: string): Iterable<string> {
  for (let at = 0; at < text.length;) {
    const lineEnd = text.indexOf('\n', at + PIECE_LENGTH)
    const next = lineEnd < 0 ? text.length : lineEnd + 1
    yield text.slice(at, next)
    at = next
  }
}

/**
 * Everything that the stream has given so far, as text, whenever asked. It is decoded as it comes: 15 MB at once would
 * keep everybody waiting.
 */
function collect(stream: Readable | null): () => string {
  let text = ''
  stream?.setEncoding('utf8').on('data', (piece: string) => (text += piece))
  return () => text
}

/** An open file with this content and no name: it is gone when the last reader is. It is read from its beginning. */
async function unlinkedFile(content: string, folder: string): Promise<number> {
  const path = `${folder}/fairlead-${process.pid}-${randomUUID()}`
  const file = openSync(path, 'wx+', 0o600)
  try {
    unlinkSync(path)
    let length = 0
    for (const piece of pieces(content)) {
      if (length > 0) await ownTurn()
      // With a position, the file's own stays at the beginning, where the program goes on.
      for (let rest = Buffer.from(piece); rest.length > 0;) {
        const written = writeSync(file, rest, 0, rest.length, length)
        rest = rest.subarray(written)
        length += written
      }
    }
    return file
  } catch (error) {
    closeSync(file)
    throw error
  }
}

function failure(request: ExecRequest, code: KernelErrorCode, stderr: string, remedy: string) {
  const command = [request.file, ...request.args]
  return { code, command, exitCode: undefined, stderr, script: request.stdin ?? '', line: undefined, remedy }
}

function neverRan(request: ExecRequest, cause: NodeJS.ErrnoException, path = ''): Error {
  if (cause.name === 'AbortError') return cause
  // execvp(3) says "permission denied" of a program that is nowhere when one folder of PATH could not be searched.
  const missing = cause.code === 'ENOENT' || (cause.code === 'EACCES' && !isIn(path, request.file))
  const remedy = missing ? `install the package that contains "${request.file}"` : 'run as root'
  const code = missing ? 'missing-tool' : 'permission'
  const message = `Cannot run ${request.file}: ${missing ? 'no such program in PATH' : cause.message}; ${remedy}`
  return new KernelError(message, failure(request, code, '', remedy), { cause })
}

function isIn(path: string, file: string): boolean {
  if (file.includes('/')) return true
  const candidates = path.split(delimiter).map((folder) => join(folder, file))
  return candidates.some((candidate) => isFile(candidate))
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile()
  } catch {
    return false
  }
}

function tooSlow(request: ExecRequest, afterMs: number, stderr: string): Error {
  const remedy = isTables(request)
    ? 'look for a process that holds the xtables lock, or choose --mode nftables, which loads large clusters faster'
    : 'look for an overloaded machine'
  return new KernelError(
    `Cannot finish ${request.file}: ended after ${afterMs} ms passed; ${remedy}`,
    failure(request, 'timeout', stderr, remedy),
  )
}

/** Somebody's kill, a lack of memory, or a fault: iptables-nft-save 1.8.9 has one when it lists 82,000 chains. */
function crashed(request: ExecRequest, signal: string, stderr: string): Error {
  const other = isTables(request) ? ', or choose --mode nftables, which carries larger clusters' : ''
  const remedy = `look into the kernel log${other}`
  return new KernelError(
    `Cannot finish ${request.file}: ended by signal ${signal}; ${remedy}`,
    failure(request, 'timeout', stderr, remedy),
  )
}

function isTables({ file }: ExecRequest): boolean {
  return /^ip6?tables/.test(file)
}
