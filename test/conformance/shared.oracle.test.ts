/** Every shared scenario against the pure half of the proxy: API objects → model → forwarding → oracle. */
import { loadSharedCases, sharedConformancePath } from '../support/conformance-cases.ts'
import { DecidedCase } from '../support/decided-case.ts'
import { skipTest } from '../support/skip-reasons.ts'
import { isSame, outcomeText } from './judge.ts'
import { faultsOf, type JudgedFlow, judgeFlows } from './oracle-faults.ts'

const cases = loadSharedCases()

/**
 * Where kube-proxy's modes differ, our decision is that of its iptables mode, except here. A row is: what iptables does,
 * what we do, and when. docs/differences.md explains them to users.
 */
const DIFFERENCES = [
  ['dnat', 'drop', 'an external IP that equals a load balancer IP does not pass by its source ranges'],
  ['none', 'reject', 'the node is refused at an external address without endpoints like everybody else'],
  ['reject', 'none', 'a NodePort without endpoints is refused on NodePort addresses alone'],
  ['drop', 'none', 'a NodePort without local endpoints drops on NodePort addresses alone'],
] as const

function differenceOf({ flow, outcome }: JudgedFlow): string | undefined {
  const iptables = flow.expectBy.iptables
  if (iptables === undefined || isSame(iptables, outcome)) return undefined
  const named = DIFFERENCES.find(([theirs, ours]) => theirs === iptables.kind && ours === outcome.kind)
  return named?.[2] ?? `unnamed: ${outcomeText(iptables)} became ${outcomeText(outcome)} in "${flow.name}"`
}

if (sharedConformancePath === undefined)
  skipTest('shared scenarios', '../shared/conformance is not beside this checkout')
else
  describe('shared scenarios', () => {
    const differences = new Set<string>()

    test('shared scenarios are all read', () => {
      const flows = cases.flatMap(({ steps }) => steps.flatMap((step) => step.flows))
      expect(cases.length).toBeGreaterThanOrEqual(85)
      expect(flows.length).toBeGreaterThanOrEqual(1800)
    })

    test.each(cases.map((one) => [one.name, one] as const))('%s', (_name, one) => {
      const running = new DecidedCase(one.node)
      for (const step of one.steps) {
        running.follow(step)
        const judged = judgeFlows(running, one, step.flows)
        expect(faultsOf(judged)).toEqual([])
        for (const difference of judged.map(differenceOf))
          if (difference !== undefined) differences.add(difference)
      }
    })

    test('shared scenarios differ from the iptables mode exactly where it is named', () => {
      expect([...differences].sort()).toEqual(DIFFERENCES.map(([, , name]) => name).sort())
    })
  })
