import type { RowsAnswer } from '../daemon/explain-answers.ts'
import { DUMPS } from '../explain/dump.ts'
import { textTable } from '../explain/text-table.ts'
import { printAnswer, printRemarks } from './answer-output.ts'
import { ask } from './ask.ts'
import { queryFlagsHelp } from './query-commands.ts'
import { readQueryFlags, usageError } from './query-flags.ts'

const HELP = `Prints what the proxy has decided and programmed on this node.

Usage:
  fairlead dump [forwarding|plan|endpoints|rejections] [flags]

  forwarding   what happens to packets, frontend by frontend (the default)
  plan         every kernel object, and what it was made for
  endpoints    every endpoint, and why it is in or out
  rejections   what Services asked for and do not get, and why

Flags:
${queryFlagsHelp('dump')}`

/** Throws ConfigError for wrong usage. */
export async function dumpCommand(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { words, output, help, ...asked } = readQueryFlags(argv, 'dump')
  if (help) {
    process.stdout.write(HELP)
    return 0
  }
  const [wanted = 'forwarding', ...more] = words
  const name = DUMPS.find((known) => known === wanted)
  if (name === undefined || more.length > 0)
    throw usageError(`Cannot dump "${words.join(' ')}": write one of ${DUMPS.join(', ')}`)
  const { rows, remarks } = (await ask(asked, { path: `/dump/${name}` }, signal)) as RowsAnswer
  printRemarks(remarks)
  printAnswer(rows, output, () => textTable(rows, name === 'plan' ? 'kernel objects' : name))
  return 0
}
