/** Rows as aligned text, as kubectl prints them: upper-case headings, two blanks between columns. */
import type { Cell, Row } from './dump.ts'

/** Columns are the keys of the first row. Without rows: `No …`. */
export function textTable(rows: readonly Row[], what: string): string {
  const [first] = rows
  if (first === undefined) return `No ${what}.\n`
  const keys = Object.keys(first)
  const cells = [keys.map(heading), ...rows.map((row) => keys.map((key) => cellText(row[key])))]
  const widths = keys.map((_, column) => Math.max(...cells.map((line) => (line[column] ?? '').length)))
  const lines = cells.map((line) =>
    line
      .map((cell, column) => (column === keys.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
  return `${lines.join('\n')}\n`
}

/** `servicePort` is `SERVICE PORT`. */
function heading(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => ` ${letter}`).toUpperCase()
}

function cellText(cell: Cell | undefined): string {
  const text = Array.isArray(cell) ? cell.join('; ') : String(cell ?? '')
  return text === '' ? '-' : text
}
