/**
 * A network namespace of the lab: a node, a pod, the wire between the nodes, or a machine outside.
 *
 * It is anonymous and held open by a pause process, as a container runtime does it. The pause process is the first of
 * a process namespace of its own, and every process of the lab dies with its parent: whatever ends the lab, even
 * SIGKILL, the kernel takes processes, namespaces, devices and rules away with it. None of them hears the Ctrl-C of a
 * terminal: the lab itself ends them, in order.
 */
import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import type { Exec } from '../kernel/exec.ts'
import { ProgramRunner } from '../kernel/program-runner.ts'

/** Prepended to a command so that it ends when we do. */
const DIES_WITH_US = ['setpriv', '--pdeathsig', 'KILL', '--']

export class NetHost {
  readonly name: string
  /** Process that holds the namespace, in the numbering of the machine. */
  readonly pid: number
  /** Put before a command to run it inside, sharing its localhost. */
  readonly prefix: readonly string[]
  readonly exec: Exec
  /** Resolves when the namespace is gone, whoever ended it. */
  readonly ended: Promise<void>
  readonly #pause: ChildProcess

  private constructor(name: string, pause: ChildProcess, pid: number) {
    this.name = name
    this.pid = pid
    this.#pause = pause
    this.ended = once(pause, 'exit').then(() => undefined)
    const net = `--net=/proc/${pid}/ns/net`
    this.prefix = [...DIES_WITH_US, 'nsenter', net, `--pid=/proc/${pid}/ns/pid_for_children`, '--']
    this.exec = new ProgramRunner({ prefix: [...DIES_WITH_US, 'nsenter', net, '--'] })
  }

  /** Rejects with the reason when this process may not make namespaces. */
  static async create(name: string): Promise<NetHost> {
    const [file = '', ...args] = [
      ...DIES_WITH_US,
      ...['unshare', '--net', '--pid', '--fork', '--kill-child=KILL'],
      ...['sh', '-c', 'ip link set lo up && echo ready && exec sleep infinity'],
    ]
    const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
    const env = { ...process.env, PATH: path }
    const pause = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, env })
    const stderr: Buffer[] = []
    pause.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
    const ended = once(pause, 'close').then(() => {
      const reason = Buffer.concat(stderr).toString('utf8').trim()
      throw new Error(`Cannot make the network namespace "${name}": ${reason}; run as root`)
    })
    await Promise.race([once(pause.stdout, 'data'), ended])
    ended.catch(() => undefined)
    pause.stdout.destroy()
    pause.stderr.destroy()
    return new NetHost(name, pause, pause.pid ?? 0)
  }

  /** Runs lines of `ip -batch`; throws with the tool's words when one is refused. */
  async ip(lines: readonly string[]): Promise<void> {
    await this.run('ip', ['-batch', '-'], `${lines.join('\n')}\n`)
  }

  /** Runs a program that must succeed; resolves to its standard output. */
  async run(file: string, args: readonly string[], stdin = ''): Promise<string> {
    const result = await this.exec.run({ file, args, stdin })
    if (result.exitCode === 0) return result.stdout
    const command = [file, ...args].join(' ')
    throw new Error(
      `Cannot run "${command}" in "${this.name}": exit code ${result.exitCode}: ${result.stderr.trim()}`,
    )
  }

  /** Writes a setting below `/proc/sys/net/`; a setting that this kernel lacks is passed over. */
  async sysctl(settings: Readonly<Record<string, string>>): Promise<void> {
    const script =
      'while read -r key value; do [ -e "/proc/sys/net/$key" ] && echo "$value" > "/proc/sys/net/$key"; done; :'
    const lines = Object.entries(settings).map(([key, value]) => `${key} ${value}\n`)
    await this.run('sh', ['-c', script], lines.join(''))
  }

  /** Starts a long-running process in the host's own process namespace: it dies with the host, or with us. */
  spawn(command: readonly string[], options: SpawnChoices = {}): ChildProcess {
    return start([...this.prefix, ...command], options)
  }

  /** Starts a program that shares only the network: the process is ours to signal, and to end before `close`. */
  spawnProgram(command: readonly string[], options: SpawnChoices = {}): ChildProcess {
    return start([...DIES_WITH_US, 'nsenter', `--net=/proc/${this.pid}/ns/net`, '--', ...command], options)
  }

  /** Ends every process inside and frees the namespace with all its devices. */
  async close(): Promise<void> {
    this.#pause.kill('SIGKILL')
    await this.ended
  }
}

interface SpawnChoices {
  readonly stdio?: StdioOptions
  /** Added to our own environment. */
  readonly env?: NodeJS.ProcessEnv
}

function start(
  [file = '', ...args]: readonly string[],
  { stdio = 'ignore', env = {} }: SpawnChoices,
): ChildProcess {
  return spawn(file, args, { stdio, env: { ...process.env, ...env }, detached: true })
}
