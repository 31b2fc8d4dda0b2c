/** IP sets through the program `ipset`: one process for any number of changes. */
import type { Exec } from './exec.ts'
import { runOrThrow } from './iptables.ts'

export class Ipset {
  readonly #exec: Exec

  constructor(exec: Exec) {
    this.#exec = exec
  }

  /** `ipset save`: all sets of both families. Throws `KernelError`. */
  async save(signal: AbortSignal): Promise<string> {
    const request = { file: 'ipset', args: ['save'], signal }
    return (await runOrThrow(this.#exec, request, 'Cannot read IP sets')).stdout
  }

  /** The names of all sets. Throws `KernelError`, also when the program or the kernel's part is missing. */
  async names(signal: AbortSignal): Promise<readonly string[]> {
    const request = { file: 'ipset', args: ['list', '-name'], signal }
    const { stdout } = await runOrThrow(this.#exec, request, 'Cannot list IP sets')
    return stdout.split('\n').filter((name) => name !== '')
  }

  /** How many elements a set has; `undefined`: there is no such set. */
  async count(name: string, signal: AbortSignal): Promise<number | undefined> {
    const result = await this.#exec.run({ file: 'ipset', args: ['list', '-terse', name], signal })
    const match = /^Number of entries: (\d+)$/m.exec(result.stdout)
    return result.exitCode === 0 && match !== null ? Number(match[1]) : undefined
  }
}
