/** Kernel settings by their path below `/proc/sys`, read and written where the programs run. */
import type { Exec } from './exec.ts'
import { KernelError } from './kernel-error.ts'

export class Sysctls {
  readonly #exec: Exec

  constructor(exec: Exec) {
    this.#exec = exec
  }

  /** `undefined`: the kernel has no such setting, or not yet. */
  async read(key: string, signal: AbortSignal): Promise<string | undefined> {
    const result = await this.#exec.run({ file: 'cat', args: [`/proc/sys/${key}`], signal })
    return result.exitCode === 0 ? result.stdout.trim() : undefined
  }

  /** Writes only what differs; resolves to whether it did. Throws `KernelError` when the kernel refuses. */
  async ensure(key: string, value: string, signal: AbortSignal): Promise<boolean> {
    if ((await this.read(key, signal)) === value) return false
    const request = { file: 'tee', args: [`/proc/sys/${key}`], stdin: `${value}\n`, signal }
    const result = await this.#exec.run(request)
    if (result.exitCode === 0) return true
    const remedy = `set ${key.replaceAll('/', '.')} to ${value} on the host, or let the proxy write below /proc/sys`
    throw new KernelError(`Cannot set ${key} to ${value}: ${result.stderr.trim()}; ${remedy}`, {
      code: 'permission',
      command: [request.file, ...request.args],
      exitCode: result.exitCode,
      stderr: result.stderr,
      script: request.stdin,
      line: undefined,
      remedy,
    })
  }
}
