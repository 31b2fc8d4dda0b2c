/**
 * The program `nft`, for one table. It is never asked to list or write anything else: old versions end with a crash
 * when they meet objects of newer software in somebody else's table.
 */
import { release } from 'node:os'
import { OLDEST_NFT, OLDEST_NFTABLES_KERNEL, isOlder } from '../netfilter/versions.ts'
import { classifyFailure } from './classify-failure.ts'
import type { Exec, ExecRequest } from './exec.ts'
import { KernelError } from './kernel-error.ts'

/** `family name`, as in `ip kube-proxy`. */
export type NftTable = `${'ip' | 'ip6'} ${string}`

export class Nft {
  readonly #exec: Exec
  readonly table: NftTable

  constructor(exec: Exec, table: NftTable) {
    this.#exec = exec
    this.table = table
  }

  /** Throws `KernelError` naming the version that is too old; `kernelRelease` as `uname -r` prints it. */
  async requireVersions(kernelRelease: string = release()): Promise<string> {
    const request = { file: 'nft', args: ['--version'] }
    const { stdout } = await this.#exec.run(request)
    const version = /v(\d+(?:\.\d+)+)/.exec(stdout)?.[1] ?? '0'
    if (isOlder(version, OLDEST_NFT)) throw tooOld('nft', version, OLDEST_NFT)
    if (isOlder(kernelRelease, OLDEST_NFTABLES_KERNEL))
      throw tooOld('Linux', kernelRelease, OLDEST_NFTABLES_KERNEL)
    return version
  }

  /** All of the table, numbers as numbers; `undefined` when there is no such table. */
  async list(signal: AbortSignal): Promise<string | undefined> {
    const args = ['-n', 'list', 'table', ...this.table.split(' ')]
    return this.#unlessMissing({ file: 'nft', args, signal }, `Cannot list table ${this.table}`)
  }

  /** One set, which should be small; `undefined` when it or the table is missing. */
  async listSet(name: string, signal: AbortSignal): Promise<string | undefined> {
    const args = ['-n', 'list', 'set', ...this.table.split(' '), name]
    return this.#unlessMissing({ file: 'nft', args, signal }, `Cannot list set ${name} of ${this.table}`)
  }

  /** Resolves to whether there was one. */
  async deleteTable(signal: AbortSignal): Promise<boolean> {
    const stdin = `delete table ${this.table}\n`
    const request = { file: 'nft', args: ['-f', '-'], stdin, stdinAsFile: true, signal }
    return (await this.#unlessMissing(request, `Cannot delete table ${this.table}`)) !== undefined
  }

  async #unlessMissing(request: ExecRequest, action: string): Promise<string | undefined> {
    const result = await this.#exec.run(request)
    if (result.exitCode === 0) return result.stdout
    const error = classifyFailure(request, result, action)
    if (error.code === 'missing-object') return undefined
    throw error
  }
}

function tooOld(what: string, version: string, oldest: readonly number[]): KernelError {
  const remedy = `install ${what} ${oldest.join('.')} or newer, or choose --mode iptables`
  return new KernelError(`Cannot use nftables mode: ${what} ${version} is too old; ${remedy}`, {
    code: 'unsupported',
    command: ['nft', '--version'],
    exitCode: undefined,
    stderr: '',
    script: '',
    line: undefined,
    remedy,
  })
}
