/**
 * A bare network namespace for one test: anonymous, with loopback up, gone when the test process goes.
 *
 * It is held open by a `cat` that waits on our pipe, so that even a killed test run leaves nothing behind.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { ShellRunner } from './shell-runner.ts'

export class NetNamespace {
  readonly pid: number
  /** Put before a command to run it inside. */
  readonly prefix: readonly string[]
  /** Runs programs inside; their xtables lock is their own, so parallel tests do not wait for each other. */
  readonly exec: ShellRunner
  readonly #holder: ChildProcessWithoutNullStreams
  readonly #lockFile: string

  private constructor(holder: ChildProcessWithoutNullStreams, pid: number) {
    this.#holder = holder
    this.pid = pid
    this.prefix = ['nsenter', '-t', String(pid), '-n']
    this.#lockFile = `${tmpdir()}/fairlead-test-${pid}.lock`
    const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
    const env = { ...process.env, PATH: path, LC_ALL: 'C', XTABLES_LOCKFILE: this.#lockFile }
    this.exec = new ShellRunner({ prefix: this.prefix, env })
  }

  /** Rejects when this process may not make namespaces. */
  static async create(): Promise<NetNamespace> {
    const holder = spawn('unshare', ['--net', 'cat'], { stdio: 'pipe' })
    const failed = once(holder, 'exit').then(() => {
      throw new Error('Cannot make a network namespace: unshare ended at once; run as root')
    })
    holder.stdin.write('ready\n')
    await Promise.race([once(holder.stdout, 'data'), failed])
    failed.catch(() => undefined)
    if (holder.pid === undefined) throw new Error('Cannot make a network namespace: unshare has no pid')
    const namespace = new NetNamespace(holder, holder.pid)
    await namespace.run('ip', ['link', 'set', 'lo', 'up'])
    return namespace
  }

  /** Runs a program inside that must succeed; resolves to its standard output. */
  async run(file: string, args: readonly string[], stdin = ''): Promise<string> {
    const result = await this.exec.run({ file, args, stdin })
    if (result.exitCode !== 0)
      throw new Error(`${file} ${args.join(' ')} exited with ${result.exitCode}: ${result.stderr.trim()}`)
    return result.stdout
  }

  async close(): Promise<void> {
    this.exec.close()
    const ended = once(this.#holder, 'exit')
    this.#holder.stdin.end()
    await ended
    rmSync(this.#lockFile, { force: true })
  }
}
