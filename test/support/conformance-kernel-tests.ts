/** Makes jest tests of conformance cases: one per case, all under way at once, and one for the table of differences. */
import type { ConformanceCase } from '../conformance/conformance-case.ts'
import { KNOWN_DIFFERENCES, type KnownDifference } from '../conformance/known-differences.ts'
import { type CaseResult, type ProxyUnderTest, runCases } from './conformance-kernel.ts'
import { describeKernel, type Need } from './skip-reasons.ts'

/** Most of a case is waiting for silence, so more beds than processors are of use. */
const BEDS = 4
const PATIENCE_MS = 240_000

export interface KernelTests {
  readonly needs: readonly Need[]
  readonly cases: readonly ConformanceCase[]
  /** Judges the cases; default: on this kernel, several at once. */
  readonly run?: () => ReadonlyMap<string, Promise<CaseResult>>
}

/** Declares the tests of one proxy. Skips, and flows that cannot be sent, are printed with their reasons. */
export function testByPackets(proxy: ProxyUnderTest, tests: KernelTests): void {
  const differences = KNOWN_DIFFERENCES
  const runHere = () => runCases({ proxy, cases: tests.cases, differences, beds: BEDS })
  describeKernel(`packets in ${proxy.title} mode`, tests.needs, () => {
    let results: ReadonlyMap<string, Promise<CaseResult>>

    beforeAll(() => {
      results = (tests.run ?? runHere)()
    })

    test.each(tests.cases.map(({ name }) => name))(
      '%s',
      async (name) => {
        const result = await results.get(name)
        expect(result?.failures.join('\n\n')).toBe('')
        expect(Number(result?.passed) + Object.keys(result?.skipped ?? {}).length).toBeGreaterThan(0)
      },
      PATIENCE_MS,
    )

    test('every known difference is needed by some flow', async () => {
      const settled = await Promise.allSettled(results.values())
      const finished = settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
      printSkipped(proxy, finished)
      expect(unneeded(proxy, differences, finished)).toEqual([])
    })
  })
}

/** Entries about this mode that no flow needed: the table tells users of a difference that is not there. */
export function unneeded(
  proxy: ProxyUnderTest,
  differences: readonly KnownDifference[],
  results: readonly CaseResult[],
): string[] {
  const needed = new Set(results.flatMap((result) => result.differences))
  return [...differences.entries()]
    .filter(([index, entry]) => entry.modes.includes(proxy.mode) && !needed.has(index))
    .map(([, entry]) => entry.reason)
}

function printSkipped(proxy: ProxyUnderTest, results: readonly CaseResult[]): void {
  const counts = new Map<string, number>()
  for (const { skipped } of results)
    for (const [reason, count] of Object.entries(skipped))
      counts.set(reason, (counts.get(reason) ?? 0) + count)
  for (const [reason, count] of counts)
    process.stderr.write(`note: ${proxy.title}: ${count} flows not sent: ${reason}\n`)
}
