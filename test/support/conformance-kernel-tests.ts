/** Makes jest tests of conformance cases: one per case, all under way at once, and one for the table of differences. */
import type { ConformanceCase } from '../conformance/conformance-case.ts'
import { KNOWN_DIFFERENCES, type KnownDifference } from '../conformance/known-differences.ts'
import { sharedConformancePath } from './conformance-cases.ts'
import { type CaseResult, type ProxyUnderTest, runCases } from './conformance-kernel.ts'
import { describeKernel, type Need, skipTest } from './skip-reasons.ts'

/** Most of a case is waiting for silence, so more beds than processors are of use. */
const BEDS = 4
const PATIENCE_MS = 900_000

/** A proxy that knows what its kernel must have. */
export interface ProxyWithNeeds extends ProxyUnderTest {
  readonly needs: readonly Need[]
}

export interface KernelTests {
  readonly cases: readonly ConformanceCase[]
  /** What this machine must have; default: what the proxy needs. */
  readonly needs?: readonly Need[]
  /** Whether every known difference must be needed by one of the cases; default: yes, if all cases are there. */
  readonly asksForDifferences?: boolean
  /** Judges the cases; default: on this kernel, several at once. */
  readonly run?: (signal: AbortSignal) => ReadonlyMap<string, Promise<CaseResult>>
}

/** Declares the tests of one proxy. Skips, and flows that cannot be sent, are printed with their reasons. */
export function testByPackets(proxy: ProxyWithNeeds, tests: KernelTests): void {
  const differences = KNOWN_DIFFERENCES
  const runHere = (signal: AbortSignal) =>
    runCases({ proxy, cases: tests.cases, differences, beds: BEDS, signal })
  describeKernel(`packets in ${proxy.title} mode`, tests.needs ?? proxy.needs, () => {
    let results: ReadonlyMap<string, Promise<CaseResult>>

    const over = new AbortController()

    beforeAll(() => {
      results = (tests.run ?? runHere)(over.signal)
    })

    // When only some tests are asked for, the other cases need not be finished.
    afterAll(() => {
      over.abort()
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

    const finished = async (): Promise<CaseResult[]> => {
      const settled = await Promise.allSettled(results.values())
      return settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    }

    test('every case is judged to its end', async () => {
      const judged = await finished()
      printSkipped(proxy, judged)
      expect(judged).toHaveLength(tests.cases.length)
    })

    if (tests.asksForDifferences === false) return
    const name = 'every known difference is needed by some flow'
    const missing = missingCases()
    if (missing !== undefined) skipTest(`${proxy.title}: ${name}`, missing)
    else
      test(name, async () => {
        expect(unneeded(proxy, differences, await finished())).toEqual([])
      })
  })
}

/** Why no table of all differences can be asked for: some of the cases alone need some of the differences alone. */
function missingCases(): string | undefined {
  if (process.env['CONFORMANCE_ONLY'] !== undefined) return 'CONFORMANCE_ONLY leaves cases out'
  return sharedConformancePath === undefined
    ? 'the shared cases, which tell what kube-proxy does, are not beside this checkout'
    : undefined
}

/** Entries about this mode and these cases that no flow needed: they tell users of a difference that is not there. */
export function unneeded(
  proxy: ProxyUnderTest,
  differences: readonly KnownDifference[],
  results: readonly CaseResult[],
): string[] {
  const needed = new Set(results.flatMap((result) => result.differences))
  return [...differences.entries()]
    .filter(
      ([, { modes, cases }]) => modes.includes(proxy.mode) && results.some(({ name }) => cases.test(name)),
    )
    .filter(([index]) => !needed.has(index))
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
