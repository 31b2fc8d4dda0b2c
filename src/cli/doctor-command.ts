import { ConfigError } from '../config/config-error.ts'
import { resolveConfig } from '../config/resolve-config.ts'
import type { Config } from '../config/config.ts'
import { examine } from '../explain/doctor/checks.ts'
import { textTable } from '../explain/text-table.ts'
import { ProgramRunner } from '../kernel/program-runner.ts'
import { systemClock } from '../runtime/clock.ts'
import { OUTPUTS, printAnswer } from './answer-output.ts'
import { askApi } from './doctor/ask-api.ts'
import { gatherFacts } from './doctor/gather-facts.ts'
import { usageError } from './query-flags.ts'

const HELP = `Checks whether this node is fit for the proxy, and says what to do where it is not. Changes nothing.
The exit code is 1 when something is found that stops Services from working.

Usage:
  fairlead doctor [flags]

Flags:
  -o, --output FORMAT        ${OUTPUTS.join(', ')} (default table)
      --kubeconfig FILE      ask this API server too: whether it answers, what it allows, what time it has
  and every flag of the proxy itself, such as --config and --mode: what is checked depends on them

Examples:
  fairlead doctor --config=/var/lib/kube-proxy/config.conf
  fairlead doctor --mode=nftables --kubeconfig=/etc/kubernetes/proxy.conf -o yaml
`

/** Throws ConfigError for wrong usage or a configuration that cannot be used. */
export async function doctorCommand(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { output, rest, help } = split(argv)
  if (help) {
    process.stdout.write(HELP)
    return 0
  }
  const config = configOf(rest)
  const facts = await gatherFacts({ config, exec: new ProgramRunner(), nowMs: systemClock.now(), signal })
  const asked = config.clientConnection.kubeconfig !== undefined
  const api = asked ? await askApi({ config, clock: systemClock, env: process.env, signal }) : undefined
  const findings = examine({ ...facts, api })
  const rows = findings.map(({ check, level, what, remedy }) => ({ check, level, what, remedy }))
  printAnswer(findings, output, () => textTable(rows, 'findings'))
  return findings.some(({ level }) => level === 'error') ? 1 : 0
}

/** Takes out what is the doctor's own; the rest is the proxy's. */
function split(argv: readonly string[]) {
  const rest: string[] = []
  let wanted = 'table'
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? ''
    const [flag, value] = word.split(/=(.*)/s)
    if (flag === '-o' || flag === '--output') wanted = value ?? argv[++i] ?? ''
    else rest.push(word)
  }
  const output = OUTPUTS.find((known) => known === wanted)
  if (output === undefined)
    throw usageError(`Cannot print as "${wanted}": no such format; write one of ${OUTPUTS.join(', ')}`)
  return { output, rest, help: rest.includes('--help') || rest.includes('-h') }
}

function configOf(argv: readonly string[]): Config {
  const resolved = resolveConfig(argv)
  if ('config' in resolved) return resolved.config
  const [error] = resolved.action === 'invalid' ? resolved.errors : []
  if (error instanceof ConfigError) throw error
  throw usageError(`Cannot examine with ${argv.join(' ')}: leave out flags that only print`)
}
