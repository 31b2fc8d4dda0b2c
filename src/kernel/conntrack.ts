/** The connection tracking table through the `conntrack` program: list flows, delete exactly named ones. */
import type { Flow } from '../netfilter/conntrack/flow.ts'
import { parseFlows } from '../netfilter/conntrack/parse-list.ts'
import { renderDeletions } from '../netfilter/conntrack/render-deletions.ts'
import type { Family, Ip } from '../net/ip.ts'
import type { Port, Protocol } from '../net/protocol.ts'
import type { Exec, ExecRequest, ExecResult } from './exec.ts'
import { KernelError } from './kernel-error.ts'

/** Which flows are asked for; what is not given may be anything. */
export interface FlowQuery {
  readonly family: Family
  readonly protocol: Protocol
  /** Where the client sent it. */
  readonly ip?: Ip | undefined
  readonly port?: Port | undefined
  /** Of TCP: only clients that wait for their first answer. */
  readonly unanswered?: boolean
}

export class Conntrack {
  readonly #exec: Exec

  constructor(exec: Exec) {
    this.#exec = exec
  }

  /** Throws `KernelError`. */
  async list(query: FlowQuery, signal: AbortSignal): Promise<Flow[]> {
    const request = { file: 'conntrack', args: ['-L', ...selector(query), '-o', 'extended'], signal }
    const result = await this.#exec.run(request)
    if (result.exitCode !== 0 && !saysNothingThere(result)) throw refusal(request, result, 'list')
    return parseFlows(result.stdout)
  }

  /** Deletes these flows in one process; flows that are gone already are no error. Throws `KernelError`. */
  async delete(flows: readonly Flow[], signal: AbortSignal): Promise<void> {
    if (flows.length === 0) return
    const commands = { stdin: renderDeletions(flows), stdinAsFile: true }
    const request = { file: 'conntrack', args: ['-R', '-'], ...commands, signal }
    const result = await this.#exec.run(request)
    if (result.exitCode !== 0 && !saysNothingThere(result)) throw refusal(request, result, 'delete')
  }
}

function selector({ family, protocol, ip, port, unanswered = false }: FlowQuery): string[] {
  return [
    ...['-f', family.toLowerCase(), '-p', protocol.toLowerCase()],
    ...(unanswered ? ['--state', 'SYN_SENT'] : []),
    ...(ip === undefined ? [] : ['--orig-dst', ip]),
    ...(port === undefined ? [] : ['--orig-port-dst', String(port)]),
  ]
}

/** conntrack 1.4.7 ends with 1 when nothing matched and says so in the last line. */
function saysNothingThere(result: ExecResult): boolean {
  return /\b0 flow entries have been (shown|deleted)/.test(result.stderr)
}

function refusal(request: ExecRequest, result: ExecResult, action: string): KernelError {
  const denied = /Operation not permitted|Permission denied/.test(result.stderr)
  const [firstLine = ''] = result.stderr.split('\n')
  const remedy = denied
    ? 'run with the capability NET_ADMIN'
    : 'check that the kernel has nf_conntrack_netlink'
  return new KernelError(`Cannot ${action} connection tracking flows: ${firstLine}; ${remedy}`, {
    code: denied ? 'permission' : 'unsupported',
    command: [request.file, ...request.args],
    exitCode: result.exitCode,
    stderr: result.stderr,
    script: request.stdin ?? '',
    line: undefined,
    remedy,
  })
}
