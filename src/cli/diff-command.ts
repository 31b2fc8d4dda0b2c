import type { RowsAnswer } from '../daemon/explain-answers.ts'
import { textTable } from '../explain/text-table.ts'
import { printAnswer, printRemarks } from './answer-output.ts'
import { ask } from './ask.ts'
import { queryFlagsHelp } from './query-commands.ts'
import { readQueryFlags, usageError } from './query-flags.ts'

const HELP = `Compares what the proxy wants with what the kernel has, and writes nothing.
The exit code is 0 when they agree, 1 when they differ.

Usage:
  fairlead diff [flags]

Flags:
${queryFlagsHelp('diff')}`

/** Throws ConfigError for wrong usage. */
export async function diffCommand(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { words, output, help, ...asked } = readQueryFlags(argv, 'diff')
  if (help) {
    process.stdout.write(HELP)
    return 0
  }
  if (words.length > 0) throw usageError(`Cannot compare "${words.join(' ')}": diff takes no arguments`)
  const { rows, remarks } = (await ask(asked, { path: '/diff' }, signal)) as RowsAnswer
  printRemarks(remarks)
  printAnswer(rows, output, () => textTable(rows, 'differences'))
  return rows.length === 0 ? 0 : 1
}
