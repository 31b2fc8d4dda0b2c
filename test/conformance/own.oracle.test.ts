/** The project's own cases against the oracle. Here `expect` alone counts: what a mode cannot do is no excuse. */
import { DecidedCase } from '../support/decided-case.ts'
import { isSame } from './judge.ts'
import { faultsOf, judgeFlows } from './oracle-faults.ts'
import { loadOwnCases } from './own-cases.ts'

describe('own cases', () => {
  test.each(loadOwnCases().map((one) => [one.name, one] as const))('%s', (_name, one) => {
    const running = new DecidedCase(one.node)
    for (const step of one.steps) {
      running.follow(step)
      const judged = judgeFlows(running, one, step.flows)
      const strict = faultsOf(
        judged,
        (flow, outcome) => flow.expect !== undefined && isSame(flow.expect, outcome),
      )
      expect(strict).toEqual([])
    }
  })

  test('own cases name the rows of the feature table that packets can prove', () => {
    const proved = new Set(loadOwnCases().flatMap(({ features }) => features))
    const rows = [1, 2, 3, 4, ...range(6, 30), 32, ...range(34, 38), 41, 42, 43, 44]
    expect(rows.filter((row) => !proved.has(row) && row !== 5)).toEqual([])
  })
})

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}
