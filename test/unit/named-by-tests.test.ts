/** What an operator can write, read or ask has a test that names it. A name that no test knows fails here. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { SETTING_ROWS } from '../../src/config/settings.ts'
import { DUMPS } from '../../src/explain/dump.ts'
import { METRIC_ROWS } from '../../src/metrics/metric-table.ts'
import { EXAMPLES } from './config/setting-examples.ts'

const ROOT = resolve(import.meta.dirname, '../..')

/** Every test but this one. */
const tests = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('named-by-tests.test.ts'))
  .map((file) => readFileSync(join(ROOT, 'test', file), 'utf8'))
  .join('\n')

/** Whole names only: `/metrics` is not named by `/metrics/slis`. */
function isNamed(name: string): boolean {
  return new RegExp(`${name.replaceAll('/', '\\/')}(?![\\w/-])`).test(tests)
}

/** Paths that a server compares or maps, read from its source. */
function pathsIn(file: string): string[] {
  const source = readFileSync(join(ROOT, 'src', file), 'utf8')
  const code = source.replaceAll(/\/\*[^]*?\*\//g, '')
  return [...new Set([...code.matchAll(/'(\/[a-zA-Z][\w/]*)'/g)].map((match) => match[1] ?? ''))]
}

const SERVERS = ['metrics/metrics-server.ts', 'metrics/debug-endpoints.ts', 'health/healthz-server.ts']
const endpoints = [
  ...SERVERS.flatMap(pathsIn).filter((path) => path !== '/debug/'),
  ...DUMPS.map((name) => `/dump/${name}`),
  '/diff',
  '/explain',
]

test('there are names to look for', () => {
  expect(endpoints).toEqual(expect.arrayContaining(['/metrics', '/healthz', '/livez', '/debug/flags/v']))
  expect(METRIC_ROWS.length).toBeGreaterThan(40)
  expect(isNamed('/metric')).toBe(false)
})

test.each(METRIC_ROWS.map(([, { name }]) => name))('metric %s', (name) => {
  // A histogram is named by one of its series.
  const series = ['', '_sum', '_count', '_bucket'].map((ending) => `${name}${ending}`)
  expect(series.some(isNamed)).toBe(true)
})

test.each(endpoints)('endpoint %s', (path) => {
  expect(isNamed(path)).toBe(true)
})

/** settings.test.ts tries every example; here is whether there is one to try. */
test.each(SETTING_ROWS)(
  'setting %s has a good value of its flag and of its field, and a bad one',
  (name, row) => {
    const example = EXAMPLES[name]
    const isRead = name !== 'configFile'
    if (row.flag !== undefined && isRead) expect(example.flag).toBeDefined()
    if (row.field !== undefined) expect(example.field).toBeDefined()
    if (row.field !== undefined) expect(example.badField).toBeDefined()
  },
)
