/** Which tests prove a feature, and what the results of a run say about it. Pure. */
import type { BackendName } from '../../src/backends/backend.ts'
import type { ConformanceCase } from '../conformance/conformance-case.ts'
import { type Feature, MODES, type NamedTest, PACKET_TESTS } from './feature.ts'

/** One test of a run, as `jest --json` tells it. */
export interface TestResult {
  readonly fullName: string
  readonly status: string
}

export type Status = 'passed' | 'failed' | 'not run'

/** Every test that a feature has in a mode; none where the mode cannot. */
export function proofsOf(
  feature: Feature,
  mode: BackendName,
  cases: readonly ConformanceCase[],
): readonly NamedTest[] {
  if (feature.cannot[mode] !== undefined) return []
  const packets = cases
    .filter(({ features }) => features.includes(feature.number))
    .flatMap(({ name }) =>
      PACKET_TESTS[mode].map((within) => ({ file: packetFile(mode), title: name, within })),
    )
  return [...packets, ...(feature.by[mode] ?? []), ...feature.everywhere]
}

export function isPacketTest({ file }: NamedTest): boolean {
  return file.startsWith('test/conformance/')
}

/** Files that jest must be given so that everything is proved; what runs inside another machine is not among them. */
export function filesToRun(features: readonly Feature[], cases: readonly ConformanceCase[]): string[] {
  const named = features.flatMap((feature) => MODES.flatMap((mode) => proofsOf(feature, mode, cases)))
  const files = named.map(({ file }) => file).filter((file) => file.endsWith('.test.ts'))
  const runners = named.flatMap(({ file }) => RUNNERS[file] ?? [])
  return [...new Set([...files, ...runners])].sort()
}

/** Tests that one file declares and others run. */
const RUNNERS: Readonly<Record<string, readonly string[]>> = {
  'test/support/every-mode-tests.ts': [
    'test/kernel/every-mode.test.ts',
    'test/kernel/every-mode-ipvs.test.ts',
  ],
  'test/support/continuity-tests.ts': [
    'test/kernel/continuity.test.ts',
    'test/kernel/ipvs-continuity.test.ts',
  ],
  'test/support/switching-tests.ts': ['test/kernel/switching-ipvs.test.ts'],
  'test/kernel/inside-uml/ipvs.inside.ts': ['test/kernel/uml-ipvs.test.ts'],
  'test/e2e/every-mode.test.ts': ['test/e2e/every-mode-ipvs.test.ts'],
}

/** `passed` only if every one of the tests ran and none failed. */
export function statusOf(tests: readonly NamedTest[], results: readonly TestResult[]): Status {
  const statuses = tests.map((test) => statusOfTest(test, results))
  if (statuses.includes('failed')) return 'failed'
  return statuses.length > 0 && statuses.every((status) => status === 'passed') ? 'passed' : 'not run'
}

function statusOfTest(test: NamedTest, results: readonly TestResult[]): Status {
  const pattern = patternOf(test.title)
  const own = results.filter(({ fullName }) => fullName.includes(test.within ?? '') && pattern.test(fullName))
  if (own.some(({ status }) => status === 'failed')) return 'failed'
  return own.some(({ status }) => status === 'passed') ? 'passed' : 'not run'
}

/** A title as the source has it, placeholders standing for anything; the full name ends with it. */
function patternOf(title: string): RegExp {
  const literal = title.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
  return new RegExp(`${literal.replaceAll(/%[a-z]|\\\$\w+/g, '.*')}$`)
}

function packetFile(mode: BackendName): string {
  return `test/conformance/${mode}.kernel.test.ts`
}
