import type { Row } from '../explain/dump.ts'
import { textTable } from '../explain/text-table.ts'
import { printAnswer } from './answer-output.ts'
import { askProxy } from './ask-proxy.ts'
import { QUERY_FLAGS_HELP, readQueryFlags, usageError } from './query-flags.ts'

const HELP = `Compares what the running proxy wants with what the kernel has, and writes nothing.
The exit code is 0 when they agree, 1 when they differ.

Usage:
  fairlead diff [flags]

Flags:
${QUERY_FLAGS_HELP}`

/** Throws ConfigError for wrong usage. */
export async function diffCommand(argv: readonly string[]): Promise<number> {
  const { words, output, socket, help } = readQueryFlags(argv)
  if (help) {
    process.stdout.write(HELP)
    return 0
  }
  if (words.length > 0) throw usageError(`Cannot compare "${words.join(' ')}": diff takes no arguments`)
  const { rows } = (await askProxy(socket, '/diff')) as { readonly rows: readonly Row[] }
  printAnswer(rows, output, () => textTable(rows, 'differences'))
  return rows.length === 0 ? 0 : 1
}
