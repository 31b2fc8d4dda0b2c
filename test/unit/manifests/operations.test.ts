/** docs/operations.md and docs/CONTRIBUTING.md against the program: what they name exists. */
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { QUERY_COMMANDS } from '../../../src/cli/query-commands.ts'
import { SETTING_ROWS } from '../../../src/config/settings.ts'
import { METRIC_ROWS } from '../../../src/metrics/metric-table.ts'

const ROOT = resolve(import.meta.dirname, '../../..')
const operations = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8')
const contributing = readFileSync(join(ROOT, 'docs/CONTRIBUTING.md'), 'utf8')

/** Members of a union of string literals, read from the source that declares it. */
function codesOf(file: string, type: string): string[] {
  const source = readFileSync(join(ROOT, file), 'utf8')
  const [, body = ''] = new RegExp(`export type ${type} =([^]*?)\\n\\n`).exec(source) ?? []
  return [...body.matchAll(/^ {2}\| '([a-z-]+)'/gm)].map((match) => match[1] ?? '')
}

/** Codes with a row in the table below a heading, in order. */
function documentedCodes(heading: string): string[] {
  const [, section = ''] = new RegExp(`^### ${heading}:[^\\n]*\\n([^]*?)(?=^##)`, 'm').exec(operations) ?? []
  return [...section.matchAll(/^\| `([a-z-]+)`/gm)].map((match) => match[1] ?? '')
}

describe('docs/operations.md', () => {
  test.each([
    ['KernelError', 'src/kernel/kernel-error.ts'],
    ['WatchError', 'src/watch/watch-error.ts'],
    ['ConfigError', 'src/config/config-error.ts'],
  ])('it explains every code of %s and no other', (type, file) => {
    const codes = codesOf(file, `${type}Code`)
    expect(codes.length).toBeGreaterThan(4)
    expect(documentedCodes(type)).toEqual(codes)
  })

  test('its flags are flags of the program, or of the tools that it names', () => {
    const ours = new Set([
      ...SETTING_ROWS.flatMap(([, { flag, aliases }]) => [flag, ...(aliases ?? [])]),
      ...Object.values(QUERY_COMMANDS).flatMap(({ flags }) => flags.map(({ name }) => name)),
    ])
    const others = ['tag', 'namespace', 'set', 'skip-phases', 'type', 'patch', 'help']
    const rules = ['comment', 'probability', 'dport']
    const named = [...operations.matchAll(/(?<![\w-])--([a-z][a-z-]+)/g)].map((match) => match[1] ?? '')
    expect(named.filter((flag) => !ours.has(flag) && ![...others, ...rules].includes(flag))).toEqual([])
    expect(named).toContain('write-config-to')
  })

  test('its metrics exist', () => {
    const known = new Set(METRIC_ROWS.map(([, { name }]) => name))
    const named = operations.match(/\b(?:fairlead|kubeproxy)_[a-z_]*[a-z]\b/g) ?? []
    expect(named.filter((name) => !known.has(name))).toEqual([])
    expect(named).not.toEqual([])
  })
})

describe.each([
  ['docs/operations.md', operations],
  ['docs/CONTRIBUTING.md', contributing],
])('%s', (_, text) => {
  test('the files that it names exist', () => {
    const links = [...text.matchAll(/\]\(([a-z][\w/.-]*)\)/g)].map((match) => join('docs', match[1] ?? ''))
    const paths = (text.match(/(?<=[`\s(])(?:src|test|manifests|scripts|bench|docs)\/[\w/.-]*/g) ?? []).map(
      (path) => path.replace(/[.,]$/, ''),
    )
    expect([...links, ...paths].filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
    expect(links.length).toBeGreaterThan(2)
  })
})
