/**
 * A Linux kernel as an ordinary process (Debian's package `user-mode-linux`), for hosts that lack root or IPVS.
 *
 * The guest's root file system is the host's own, so the project, Node and every tool are simply there; what the guest
 * writes, it writes with the rights of the user who started it. The guest has one CPU, `ip_vs` with all schedulers,
 * `dummy`, `veth`, every ipset type and the legacy iptables tables; its nftables lacks `nat`.
 */
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { chmod, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { OwnDirectory, removeOrphanedDirectories } from '../own-directory.ts'
import { renderInit, renderModprobe } from './uml-init.ts'

const KERNEL = '/usr/bin/linux.uml'
const MODULES = '/usr/lib/uml/modules'
/** The guest ends itself in time; only when it hangs we do it, so much later. */
const GRACE_MS = 5_000
/** Runs a machine, and ends it and all processes of its group, which are the guest's, when told to end. */
const GUARD = `trap 'kill -s KILL -- $! -$! 2> /dev/null; exit' TERM; "$@" & wait`
/** Characters of kernel messages that are kept: a panic with its call trace. */
const CONSOLE_END = 20_000
const REMEDY = 'install it with "apt-get install user-mode-linux"'

export interface UmlCommand {
  readonly command: string
  readonly args: readonly string[]
  /** Absolute path; default: the current directory. */
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Memory of the guest in MB; default 1,024. Only what the guest touches is taken from the host. */
  readonly memoryMb?: number
  /** Milliseconds from boot to power-off; default 120,000. */
  readonly timeoutMs?: number
  /** Called with each piece of the command's output as it comes. */
  readonly onOutput?: (text: string) => void
  readonly signal?: AbortSignal
}

export interface UmlResult {
  /** The command's own exit status. */
  readonly exitCode: number
  /** Standard output and standard error of the command, interleaved as it wrote them. */
  readonly output: string
}

/** The machine did not run the command to its end. */
export class UmlError extends Error {
  override readonly name = 'UmlError'
}

/** Why no user-mode-linux machine can start here, with the remedy; `undefined`: it can. */
export function umlProblem(): string | undefined {
  try {
    accessSync(KERNEL, constants.X_OK)
    accessSync(MODULES, constants.R_OK)
    return undefined
  } catch {
    return `Cannot start user-mode-linux: ${KERNEL} or ${MODULES} is not there; ${REMEDY}`
  }
}

/**
 * Boots a machine, runs one command as its only user (root inside) and powers off. Throws `UmlError` when the machine
 * could not start, or ended (time over, out of memory, aborted) before the command did.
 */
export async function runInUml(request: UmlCommand): Promise<UmlResult> {
  const problem = umlProblem()
  if (problem !== undefined) throw new UmlError(problem)
  removeOrphanedDirectories()
  const directory = new OwnDirectory('uml')
  try {
    return await boot(request, directory.path)
  } finally {
    directory.remove()
  }
}

async function boot(request: UmlCommand, workDir: string): Promise<UmlResult> {
  const timeoutMs = request.timeoutMs ?? 120_000
  await writeGuestFiles(request, { workDir, timeoutMs })
  const args = [
    `mem=${request.memoryMb ?? 1024}M`,
    `uml_dir=${workDir}`,
    'rootfstype=hostfs',
    'rootflags=/',
    'rw',
    `init=${workDir}/init`,
    // Kernel messages on the console (file descriptor 1), the command's output on a line of its own (3).
    'con=null',
    'con0=null,fd:1',
    'ssl=null',
    'ssl0=null,fd:3',
    'quiet',
  ]
  const run = await runKernel(args, { timeoutMs, request })
  const exitCode = await readFile(join(workDir, 'exit-code'), 'utf8').catch(() => '')
  if (exitCode.trim() !== '') return { exitCode: Number(exitCode), output: run.output }
  const tail = reasonFrom(run.consoleEnd)
  throw new UmlError(
    `Cannot finish "${request.command}" in user-mode-linux: ${run.why} (console: ${tail || 'empty'}; output ends with: ${run.output.slice(-300)}); raise memoryMb or timeoutMs, or look at the console lines`,
  )
}

/** The kernel's own word for its end, which stands above the call trace; else its last words. */
function reasonFrom(consoleEnd: string): string {
  const lines = consoleEnd.trim().split('\n')
  const panic = lines.findIndex((line) => line.includes('Kernel panic'))
  return (panic < 0 ? lines.slice(-5) : lines.slice(panic, panic + 5)).join(' | ')
}

async function writeGuestFiles(request: UmlCommand, where: { workDir: string; timeoutMs: number }) {
  const { workDir } = where
  await mkdir(join(workDir, 'modules/lib/modules'), { recursive: true })
  for (const version of await readdir(MODULES))
    await symlink(join(MODULES, version), join(workDir, 'modules/lib/modules', version))
  const init = renderInit({
    command: request.command,
    args: request.args,
    cwd: request.cwd ?? process.cwd(),
    env: request.env ?? {},
    workDir,
    lifetimeSeconds: Math.ceil(where.timeoutMs / 1000),
  })
  await writeFile(join(workDir, 'init'), init)
  await writeFile(join(workDir, 'modprobe'), renderModprobe(workDir))
  await chmod(join(workDir, 'init'), 0o755)
  await chmod(join(workDir, 'modprobe'), 0o755)
}

interface KernelRun {
  /** The last kernel messages. */
  readonly consoleEnd: string
  readonly output: string
  readonly why: string
}

async function runKernel(
  args: readonly string[],
  options: { timeoutMs: number; request: UmlCommand },
): Promise<KernelRun> {
  const { request } = options
  return new Promise((resolve, reject) => {
    // The guest's processes are processes of the host, and all of them must end with the machine and with us, even when
    // we are killed: a shell hears of that, where the kernel would kill the machine's first process alone.
    const command = ['--pdeathsig', 'TERM', '--', 'sh', '-c', GUARD, 'sh', KERNEL, ...args]
    const child = spawn('setpriv', command, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'], detached: true })
    let consoleEnd = ''
    const output: string[] = []
    let why = 'the machine stopped by itself'
    const startedMs = performance.now()
    const end = (reason: string) => {
      why = reason
      child.kill('SIGTERM')
    }
    const timer = setTimeout(() => {
      end(`${options.timeoutMs} ms passed`)
    }, options.timeoutMs + GRACE_MS)
    const onAbort = () => {
      end('it was aborted')
    }
    request.signal?.addEventListener('abort', onAbort, { once: true })
    // A kernel in distress can print without end.
    const onConsole = (text: string) => (consoleEnd = (consoleEnd + text).slice(-CONSOLE_END))
    child.stdout?.setEncoding('utf8').on('data', onConsole)
    child.stderr?.setEncoding('utf8').on('data', onConsole)
    const line = child.stdio[3] as NodeJS.ReadableStream
    line.setEncoding('utf8')
    line.on('data', (text: string) => {
      output.push(text)
      request.onOutput?.(text)
    })
    child.on('error', (cause) => {
      clearTimeout(timer)
      reject(new UmlError(`Cannot start ${KERNEL}: ${cause.message}; ${REMEDY}`, { cause }))
    })
    child.on('close', () => {
      clearTimeout(timer)
      request.signal?.removeEventListener('abort', onAbort)
      // At the end of its lifetime the guest powers off by itself.
      if (performance.now() - startedMs >= options.timeoutMs) why = `${options.timeoutMs} ms passed`
      resolve({ consoleEnd, output: output.join(''), why })
    })
    if (request.signal?.aborted === true) onAbort()
  })
}
