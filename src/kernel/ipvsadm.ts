/** IPVS through the program `ipvsadm`: one process for any number of changes. */
import { parseSavedServers } from '../netfilter/ipvs/command.ts'
import { parseConnectionCounts } from '../netfilter/ipvs/parse-list.ts'
import type { IpvsServer } from '../netfilter/ipvs/virtual-server.ts'
import { classifyFailure } from './classify-failure.ts'
import type { Exec, ExecResult } from './exec.ts'
import type { IpvsControl, IpvsTimeouts } from './ipvs-control.ts'
import { KernelError } from './kernel-error.ts'

/** A large cluster's servers on a slow machine. */
const TIMEOUT_MS = 300_000
/** More virtual servers than this are listed all at once. */
const MANY = 8

export class Ipvsadm implements IpvsControl {
  readonly #exec: Exec

  constructor(exec: Exec) {
    this.#exec = exec
  }

  async list(signal: AbortSignal): Promise<readonly IpvsServer[]> {
    const result = await this.#run(['--save', '-n'], { action: 'list virtual servers', signal })
    return parseSavedServers(result.stdout)
  }

  async restore(script: string, signal: AbortSignal): Promise<void> {
    if (script === '') return
    // Its exit code is that of the last line alone, so anything that it says is a refusal.
    await this.#run(['--restore'], { action: 'write virtual servers', signal, stdin: script, isSilent: true })
  }

  async connections(
    selectors: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, number>> {
    if (selectors.size > MANY) {
      const result = await this.#run(['-L', '-n', '--exact'], { action: 'count connections', signal })
      return parseConnectionCounts(result.stdout)
    }
    const counts = new Map<string, number>()
    for (const selector of selectors) {
      for (const [key, count] of await this.#connectionsOf(selector, signal)) counts.set(key, count)
    }
    return counts
  }

  async #connectionsOf(selector: string, signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
    const args = ['-L', '-n', '--exact', ...selector.split(' ')]
    try {
      const { stdout } = await this.#run(args, { action: 'count connections', signal })
      return parseConnectionCounts(stdout)
    } catch (error) {
      // A virtual server that is gone has no connections that anybody could count.
      if (error instanceof KernelError && error.code === 'missing-object') return new Map()
      throw error
    }
  }

  async has(selector: string, signal: AbortSignal): Promise<boolean> {
    const args = ['-L', '-n', ...selector.split(' ')]
    return (await this.#exec.run({ file: 'ipvsadm', args, signal })).exitCode === 0
  }

  async setTimeouts(timeouts: IpvsTimeouts, signal: AbortSignal): Promise<void> {
    const { tcpSeconds, tcpFinSeconds, udpSeconds } = timeouts
    const values = [tcpSeconds, tcpFinSeconds, udpSeconds].map(String)
    await this.#run(['--set', ...values], { action: 'set connection timeouts', signal })
  }

  async #run(
    args: readonly string[],
    options: {
      readonly action: string
      readonly signal: AbortSignal
      readonly stdin?: string
      readonly isSilent?: boolean
    },
  ): Promise<ExecResult> {
    const { action, signal, stdin = '', isSilent = false } = options
    const request = { file: 'ipvsadm', args, stdin, signal, timeoutMs: TIMEOUT_MS }
    const result = await this.#exec.run(request)
    if (result.exitCode !== 0 || (isSilent && result.stderr.trim() !== ''))
      throw classifyFailure(request, result, `Cannot ${action}`)
    return result
  }
}
