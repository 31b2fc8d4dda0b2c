import { examine } from '../explain/doctor/checks.ts'
import { textTable } from '../explain/text-table.ts'
import { ProgramRunner } from '../kernel/program-runner.ts'
import { systemClock } from '../runtime/clock.ts'
import { printAnswer } from './answer-output.ts'
import { askApi } from './doctor/ask-api.ts'
import { gatherFacts } from '../daemon/doctor/gather-facts.ts'
import { queryFlagsHelp } from './query-commands.ts'
import { readQueryFlags, usageError } from './query-flags.ts'

const HELP = `Checks whether this node is fit for the proxy, and says what to do where it is not. Changes nothing.
The exit code is 1 when something is found that stops Services from working.

Usage:
  fairlead doctor [flags]

Flags:
${queryFlagsHelp('doctor', ', such as --config and --mode: what is checked depends on them')}
Examples:
  fairlead doctor --config=/var/lib/kube-proxy/config.conf
  fairlead doctor --mode=nftables --kubeconfig=/etc/kubernetes/proxy.conf -o yaml
`

/** Throws ConfigError for wrong usage or a configuration that cannot be used. */
export async function doctorCommand(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { words, output, config, help } = readQueryFlags(argv, 'doctor')
  if (help) {
    process.stdout.write(HELP)
    return 0
  }
  if (words.length > 0) throw usageError(`Cannot examine "${words.join(' ')}": doctor takes no arguments`)
  const facts = await gatherFacts({ config, exec: new ProgramRunner(), nowMs: systemClock.now(), signal })
  const asked = config.clientConnection.kubeconfig !== undefined
  const api = asked ? await askApi({ config, clock: systemClock, env: process.env, signal }) : undefined
  const findings = examine({ ...facts, api })
  const rows = findings.map(({ check, level, what, remedy }) => ({ check, level, what, remedy }))
  printAnswer(findings, output, () => textTable(rows, 'findings'))
  return findings.some(({ level }) => level === 'error') ? 1 : 0
}
