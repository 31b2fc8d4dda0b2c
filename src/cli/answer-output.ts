import { stringify } from 'yaml'

export const OUTPUTS = ['table', 'json', 'yaml'] as const
export type Output = (typeof OUTPUTS)[number]

/** Prints data for programs, or the text for people that `table` makes of it. */
export function printAnswer(data: unknown, output: Output, table: () => string): void {
  process.stdout.write(answerText(data, output, table))
}

/** On standard error, where they do not disturb programs that read the answer. */
export function printRemarks(remarks: readonly string[]): void {
  for (const remark of remarks) process.stderr.write(`Note: ${remark}\n`)
}

export function answerText(data: unknown, output: Output, table: () => string): string {
  switch (output) {
    case 'table':
      return table()
    case 'json':
      return `${JSON.stringify(data, undefined, 2)}\n`
    case 'yaml':
      return stringify(data, { aliasDuplicateObjects: false })
  }
}
