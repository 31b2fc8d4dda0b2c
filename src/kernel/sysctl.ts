/** Kernel settings by their path below `/proc/sys`, read and written where the programs run. */
import type { Exec } from './exec.ts'
import { KernelError } from './kernel-error.ts'

const ROOT = '/proc/sys/'

export class Sysctls {
  readonly #exec: Exec

  constructor(exec: Exec) {
    this.#exec = exec
  }

  /** `undefined`: the kernel has no such setting, or not yet. */
  async read(key: string, signal: AbortSignal): Promise<string | undefined> {
    return (await this.#readAll([key], signal)).get(key)
  }

  /** Writes only what differs; resolves to whether it did. Throws `KernelError` when the kernel refuses. */
  async ensure(key: string, value: string, signal: AbortSignal): Promise<boolean> {
    return (await this.ensureAll([[key, value]], signal)).length > 0
  }

  /** The same for many settings with few processes; resolves to the keys that were written. */
  async ensureAll(
    wanted: readonly (readonly [key: string, value: string])[],
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const keys = wanted.map(([key]) => key)
    const present = await this.#readAll(keys, signal)
    const differing = wanted.filter(([key, value]) => present.get(key) !== value)
    for (const value of new Set(differing.map(([, each]) => each))) {
      const alike = differing.flatMap(([key, each]) => (each === value ? [key] : []))
      await this.#write(alike, value, signal)
    }
    return differing.map(([key]) => key)
  }

  /** Values by key; settings that the kernel does not have are left out. */
  async #readAll(keys: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const args = ['-s', '-H', '', ...keys.map((key) => `${ROOT}${key}`)]
    const { stdout } = await this.#exec.run({ file: 'grep', args, signal })
    const lines = stdout.split('\n').flatMap((line) => {
      const at = line.indexOf(':')
      return at < 0 ? [] : [[line.slice(ROOT.length, at), line.slice(at + 1).trim()] as const]
    })
    return new Map(lines)
  }

  async #write(keys: readonly string[], value: string, signal: AbortSignal): Promise<void> {
    const request = { file: 'tee', args: keys.map((key) => `${ROOT}${key}`), stdin: `${value}\n`, signal }
    const result = await this.#exec.run(request)
    if (result.exitCode === 0) return
    const names = keys.map((key) => key.replaceAll('/', '.')).join(', ')
    const remedy = `set ${names} to ${value} on the host, or let the proxy write below /proc/sys`
    throw new KernelError(`Cannot set ${names} to ${value}: ${result.stderr.trim()}; ${remedy}`, {
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
