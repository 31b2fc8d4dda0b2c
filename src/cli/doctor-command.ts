import { examine } from '../explain/doctor/checks.ts'
import { parseSubject } from '../explain/subject.ts'
import { textTable } from '../explain/text-table.ts'
import { ProgramRunner } from '../kernel/program-runner.ts'
import { systemClock } from '../runtime/clock.ts'
import { printAnswer } from './answer-output.ts'
import { askApi } from './doctor/ask-api.ts'
import { selfTest } from './doctor/self-test.ts'
import { gatherFacts } from '../daemon/doctor/gather-facts.ts'
import { queryFlagsHelp } from './query-commands.ts'
import { readQueryFlags, usageError } from './query-flags.ts'

const HELP = `Checks whether this node is fit for the proxy, and says what to do where it is not. Changes nothing.
The exit code is 1 when something is found that stops Services from working.

With --self-test it also makes connections: to endpoints of a Service on other nodes, directly and through the
Service, TCP and UDP, in each family. What differs tells whether the pod network or the proxy is at fault. It sends
blanks over TCP, and a DNS question over UDP. The Service is looked up as by "fairlead explain".

Usage:
  fairlead doctor [flags]

Flags:
${queryFlagsHelp('doctor', ', such as --config and --mode: what is checked depends on them')}
Examples:
  fairlead doctor --config=/var/lib/kube-proxy/config.conf
  fairlead doctor --mode=nftables --kubeconfig=/etc/kubernetes/proxy.conf -o yaml
  fairlead doctor --self-test kube-system/kube-dns --config=/var/lib/kube-proxy/config.conf
`

/** Throws ConfigError for wrong usage or a configuration that cannot be used. */
export async function doctorCommand(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { words, output, config, alone, own, help } = readQueryFlags(argv, 'doctor')
  if (help) {
    process.stdout.write(HELP)
    return 0
  }
  if (words.length > 0) throw usageError(`Cannot examine "${words.join(' ')}": doctor takes no arguments`)
  requireSubject(own['self-test'])
  const facts = await gatherFacts({ config, exec: new ProgramRunner(), nowMs: systemClock.now(), signal })
  const asked = config.clientConnection.kubeconfig !== undefined
  const { 'self-test': subject } = own
  const api = asked ? await askApi({ config, clock: systemClock, env: process.env, signal }) : undefined
  const tested = subject === undefined ? [] : await selfTest(subject, { config, alone, facts, signal })
  const findings = [...examine({ ...facts, api }), ...tested]
  const rows = findings.map(({ check, level, what, remedy }) => ({ check, level, what, remedy }))
  printAnswer(findings, output, () => textTable(rows, 'findings'))
  return findings.some(({ level }) => level === 'error') ? 1 : 0
}

function requireSubject(subject: string | undefined): void {
  if (subject === undefined || parseSubject(subject)?.by === 'service') return
  throw usageError(
    `Cannot test "${subject}": not a Service; write NAMESPACE/SERVICE or NAMESPACE/SERVICE:PORT`,
  )
}
