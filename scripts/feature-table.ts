/**
 * Writes docs/features.md and the table of the README from the results of tests.
 *
 *   node scripts/feature-table.ts                  runs the tests that are named (as root; a quarter of an hour)
 *   node scripts/feature-table.ts RESULTS.json …   takes the results of runs with `jest --json --outputFile=…`
 *
 * Exit code 1 when some feature is not proved; the documents say which.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadOwnCases } from '../test/conformance/own-cases.ts'
import { BEGIN, END, featureDocument, featureSummary } from '../test/features/feature-document.ts'
import { MODES } from '../test/features/feature.ts'
import { filesToRun, proofsOf, statusOf, type TestResult } from '../test/features/proved.ts'
import { FEATURES } from '../test/features/rows.ts'

const ROOT = join(import.meta.dirname, '..')

interface JestReport {
  readonly testResults: readonly { readonly assertionResults: readonly TestResult[] }[]
}

/** What is run again counts as it came out last. */
function resultsOf(files: readonly string[]): TestResult[] {
  const latest = new Map<string, TestResult>()
  for (const file of files)
    for (const { assertionResults } of (JSON.parse(readFileSync(file, 'utf8')) as JestReport).testResults)
      for (const [name, results] of Map.groupBy(assertionResults, ({ fullName }) => fullName))
        latest.set(name, results.find(({ status }) => status === 'failed') ?? (results[0] as TestResult))
  return [...latest.values()]
}

function runTests(files: readonly string[]): string {
  const file = join(mkdtempSync(join(tmpdir(), 'fairlead-features-')), 'results.json')
  const jest = [
    '--experimental-vm-modules',
    'node_modules/jest/bin/jest.js',
    '--config',
    'test/jest.config.js',
  ]
  const output = ['--json', `--outputFile=${file}`, '--forceExit']
  spawnSync(process.execPath, [...jest, ...output, ...files], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  return file
}

const cases = loadOwnCases()
const given = process.argv.slice(2)
const results = resultsOf(given.length > 0 ? given : [runTests(filesToRun(FEATURES, cases))])
const report = {
  features: FEATURES,
  cases,
  status: (feature: (typeof FEATURES)[number], mode: (typeof MODES)[number]) =>
    statusOf(proofsOf(feature, mode, cases), results),
}
writeFileSync(join(ROOT, 'docs/features.md'), featureDocument(report))
const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
const [before = '', rest = ''] = readme.split(BEGIN)
const after = rest.split(END)[1]
if (after === undefined) throw new Error('Cannot write the table of the README: its marks are gone')
writeFileSync(join(ROOT, 'README.md'), before + featureSummary(report) + after)

for (const feature of FEATURES)
  for (const mode of MODES.filter((one) => feature.cannot[one] === undefined)) {
    const status = report.status(feature, mode)
    if (status === 'passed') continue
    process.exitCode = 1
    const wanting = proofsOf(feature, mode, cases).filter((test) => statusOf([test], results) !== 'passed')
    const tests = wanting.map(({ file, title, within = '' }) => `  ${file}: ${title} ${within}\n`)
    process.stderr.write(`${feature.number} ${feature.title}: ${status} in ${mode}\n${tests.join('')}`)
  }
