import type { Explanation } from '../explain/explanation.ts'
import { explanationText } from '../explain/explanation-text.ts'
import { parseSubject, SUBJECT_USAGE } from '../explain/subject.ts'
import { parseIp } from '../net/ip.ts'
import { printAnswer } from './answer-output.ts'
import { ask } from './ask.ts'
import { queryFlagsHelp } from './query-commands.ts'
import { readQueryFlags, usageError } from './query-flags.ts'

const HELP = `Says why a connection goes where it goes on this node, or nowhere.

Usage:
  fairlead explain NAMESPACE/SERVICE[:PORT] [flags]
  fairlead explain IP:PORT [flags]

Flags:
${queryFlagsHelp('explain')}
Examples:
  fairlead explain kube-system/kube-dns:dns
  fairlead explain 10.96.0.1:443 --from 10.244.1.7
  fairlead explain default/web --kubeconfig=/etc/kubernetes/proxy.conf --config=/var/lib/kube-proxy/config.conf
`

/** Exit code 0 with an explanation, 1 when there is nothing to explain. Throws ConfigError for wrong usage. */
export async function explainCommand(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { words, own, output, help, ...asked } = readQueryFlags(argv, 'explain')
  if (help) {
    process.stdout.write(HELP)
    return 0
  }
  const [subject, ...more] = words
  if (subject === undefined || more.length > 0)
    throw usageError(`Cannot explain ${words.length} things: ${SUBJECT_USAGE}`)
  check(subject, own)
  const question = { path: '/explain', query: { subject, ...own } }
  const explanation = (await ask(asked, question, signal)) as Explanation
  printAnswer(explanation, output, () => explanationText(explanation))
  return explanation.ports.length > 0 ? 0 : 1
}

/** What can be told without asking anybody is wrong usage. */
function check(subject: string, { from }: Readonly<Record<string, string>>): void {
  if (parseSubject(subject) === undefined) throw usageError(`Cannot explain "${subject}": ${SUBJECT_USAGE}`)
  if (from !== undefined && parseIp(from) === undefined)
    throw usageError(`Cannot explain a connection from "${from}": not an IP address; write --from=10.0.0.1`)
}
