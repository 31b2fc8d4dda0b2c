/** Writes docs/settings.md and docs/metrics.md from the tables in the source. A test says when they are out of date. */
import { writeFileSync } from 'node:fs'
import { format } from 'prettier'
import { TABLES } from '../src/cli/table-documents.ts'

const docs = `${import.meta.dirname}/../docs`
for (const [name, render] of TABLES)
  writeFileSync(`${docs}/${name}`, await format(render(), { parser: 'markdown' }))
