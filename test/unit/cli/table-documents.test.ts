import { readFileSync } from 'node:fs'
import { TABLES } from '../../../src/cli/table-documents.ts'

/** Lines without what is the formatter's business: blank lines, alignment, escapes. */
function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) =>
      line
        .replace(/\\([*_|])/g, '$1')
        .replace(/-{3,}/g, '---')
        .replace(/\s+/g, ' '),
    )
    .map((line) => line.replace(/ ?\| ?/g, '|').trim())
    .filter((line) => line !== '')
}

test.each(TABLES)(
  'docs/%s says what the table says (else run: node scripts/write-tables.ts)',
  (name, render) => {
    const written = lines(readFileSync(`${import.meta.dirname}/../../../docs/${name}`, 'utf8'))
    expect(lines(render()).filter((line) => !written.includes(line))).toEqual([])
    expect(written).toEqual(lines(render()))
  },
)
