/** docs/forwarding.md says what the code does: its table is read and compared. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DECISION_TABLE, ROW_NAMES, type TableCell } from '../../../src/forwarding/decision-table.ts'

const text = readFileSync(join(import.meta.dirname, '../../../docs/forwarding.md'), 'utf8')

function cellText(cell: TableCell): string {
  if (cell.action !== 'forward') return cell.action
  const masquerade = { always: ', masquerade', never: '', 'with-detector': ', masquerade²', 'if-all': '¹' }
  return `${cell.pool}${masquerade[cell.masquerade]}`
}

describe('docs/forwarding.md', () => {
  test.each(ROW_NAMES)('docs/forwarding.md has the row "%s" as the code has it', (row) => {
    const line = text.split('\n').find((one) => one.startsWith(`| ${row} `))
    const cells = (line ?? '').split('|').map((cell) => cell.trim())
    const { pod, node, external } = DECISION_TABLE[row]
    expect(cells.slice(1, -1)).toEqual([row, cellText(pod), cellText(node), cellText(external)])
  })
})
