/**
 * Runs whole jest files inside one booted user-mode-linux machine and reports each of their cases as a case of the
 * outer file, so that `npm test` shows what ran on the other kernel and under which name.
 *
 *     await describeInUml('IPVS', { files: ['test/kernel/inside-uml/ipvs.inside.ts'] })
 *
 * `KERNEL_TESTS=require` (or `require:uml`) turns the skip on a machine without user-mode-linux into a failure.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runInUml, type UmlResult, umlProblem } from '../../src/lab/uml/uml-machine.ts'
import { describeKernel } from './skip-reasons.ts'

const ROOT = join(import.meta.dirname, '../..')
const NODE = join(ROOT, 'node_modules/node/bin/node')

export interface InsideOptions {
  /** Paths from the repository's root. They need not match a project's `testMatch`. */
  readonly files: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly memoryMb?: number
  readonly timeoutMs?: number
}

interface InsideCase {
  readonly ancestorTitles: readonly string[]
  readonly title: string
  readonly status: 'passed' | 'failed' | 'pending' | 'skipped' | 'todo' | 'disabled'
  readonly failureMessages: readonly string[]
}

interface InsideReport {
  readonly testResults: readonly {
    readonly assertionResults: readonly InsideCase[]
    readonly message: string
  }[]
}

/** To be awaited at the top level of a test file: the cases must be known before jest collects them. */
export async function describeInUml(title: string, options: InsideOptions): Promise<void> {
  if (umlProblem() !== undefined) {
    describeKernel(title, ['uml'], () => undefined)
    return
  }
  const { cases, trouble } = await runInside(options)
  describe(title, () => {
    for (const one of cases) reportCase(one)
    if (trouble !== undefined)
      test('the machine runs every file to its end', () => {
        throw new Error(trouble)
      })
  })
}

/** Why a case was skipped is among the notes of the inner run. */
function reportCase(one: InsideCase): void {
  const name = [...one.ancestorTitles, one.title].join(' › ')
  if (one.status === 'passed' || one.status === 'failed')
    test(name, () => {
      if (one.status === 'failed') throw new Error(one.failureMessages.join('\n'))
    })
  else test.skip(name, () => undefined)
}

async function runInside(options: InsideOptions) {
  const folder = await mkdtemp(join(tmpdir(), 'fairlead-inside-'))
  const reportFile = join(folder, 'report.json')
  try {
    const result = await runInUml({
      command: NODE,
      args: jestArguments(options.files, reportFile),
      cwd: ROOT,
      env: { CI: '1', NO_COLOR: '1', NODE_NO_WARNINGS: '1', ...options.env },
      memoryMb: options.memoryMb ?? 1024,
      timeoutMs: options.timeoutMs ?? 180_000,
    })
    printNotes(result)
    const text = await readFile(reportFile, 'utf8').catch(() => undefined)
    if (text === undefined)
      return { cases: [], trouble: `jest wrote no report: ${result.output.slice(-2000)}` }
    return readReport(JSON.parse(text) as InsideReport)
  } catch (error) {
    return { cases: [], trouble: String(error) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Skip reasons and measurements are for the reader of the outer run. */
function printNotes(result: UmlResult): void {
  const notes = result.output.split('\n').filter((line) => line.startsWith('note: '))
  if (notes.length > 0) process.stderr.write(`${notes.join('\n')}\n`)
}

function readReport(report: InsideReport) {
  const cases = report.testResults.flatMap((file) => file.assertionResults)
  const broken = report.testResults.find((file) => file.assertionResults.length === 0)
  return { cases, trouble: broken?.message }
}

function jestArguments(files: readonly string[], reportFile: string): string[] {
  const config = {
    rootDir: ROOT,
    roots: ['<rootDir>/test'],
    testMatch: ['<rootDir>/**/*.ts'],
    testEnvironment: 'node',
    extensionsToTreatAsEsm: ['.ts'],
    transform: { '\\.ts$': '<rootDir>/test/support/strip-types.js' },
    // A guest's system calls are ten to thirty times slower than the host's.
    testTimeout: 60_000,
  }
  return [
    '--experimental-vm-modules',
    'node_modules/jest/bin/jest.js',
    '--config',
    JSON.stringify(config),
    '--runInBand',
    '--watchman=false',
    '--json',
    `--outputFile=${reportFile}`,
    '--runTestsByPath',
    ...files.map((file) => join(ROOT, file)),
  ]
}
