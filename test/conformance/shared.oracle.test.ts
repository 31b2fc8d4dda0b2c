/** Every shared scenario against the pure half of the proxy: API objects → model → forwarding → oracle. */
import { routePacket } from '../../src/forwarding/route-packet.ts'
import { loadSharedCases, sharedConformancePath } from '../support/conformance-cases.ts'
import { anIp, DecidedCase, detectorOf } from '../support/decided-case.ts'
import type { ConformanceCase, ConformanceFlow } from './conformance-case.ts'
import { isAllowed, outcomeOf, outcomeText } from './judge.ts'

const cases = loadSharedCases()

/** What is wrong with a flow, a line each; empty when all is well. */
function faults(running: DecidedCase, one: ConformanceCase, flows: readonly ConformanceFlow[]): string[] {
  return flows.flatMap((flow) => {
    running.setLocalIps(flow.from === 'node-owning-source-address' ? [flow.sourceIp] : [])
    const packet = {
      sourceIp: anIp(flow.sourceIp),
      destIp: anIp(flow.destIp),
      protocol: flow.protocol,
      destPort: flow.destPort,
    }
    const { verdict, trace } = routePacket(running.decide(), packet, detectorOf(one.node))
    const outcome = outcomeOf(verdict)
    if (isAllowed(flow, outcome)) return []
    const wanted = [flow.expect, ...Object.values(flow.expectBy)].filter((want) => want !== undefined)
    return [
      `${flow.grade} "${flow.name}": ${outcomeText(outcome)}, not ${wanted.map(outcomeText).join(' or ')} (${trace.join('; ')})`,
    ]
  })
}

if (sharedConformancePath === undefined)
  test.skip('shared scenarios: ../shared/conformance is not beside this checkout', () => undefined)
else
  describe('shared scenarios', () => {
    test('shared scenarios are all read', () => {
      const flows = cases.flatMap(({ steps }) => steps.flatMap((step) => step.flows))
      expect(cases.length).toBeGreaterThanOrEqual(85)
      expect(flows.length).toBeGreaterThanOrEqual(1800)
    })

    test.each(cases.map((one) => [one.name, one] as const))('%s', (_name, one) => {
      const running = new DecidedCase(one.node)
      for (const step of one.steps) {
        running.follow(step)
        expect(faults(running, one, step.flows)).toEqual([])
      }
    })
  })
