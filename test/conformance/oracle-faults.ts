/** Runs the packets of one step through the oracle. */
import { routePacket } from '../../src/forwarding/route-packet.ts'
import { anIp, type DecidedCase, detectorOf } from '../support/decided-case.ts'
import type { ConformanceCase, ConformanceFlow, Outcome } from './conformance-case.ts'
import { isAllowed, outcomeOf, outcomeText } from './judge.ts'

export interface JudgedFlow {
  readonly flow: ConformanceFlow
  readonly outcome: Outcome
  readonly trace: readonly string[]
}

export function judgeFlows(
  running: DecidedCase,
  one: ConformanceCase,
  flows: readonly ConformanceFlow[],
): JudgedFlow[] {
  return flows.map((flow) => {
    running.setLocalIps(flow.from === 'node-owning-source-address' ? [flow.sourceIp] : [])
    const packet = {
      sourceIp: anIp(flow.sourceIp),
      destIp: anIp(flow.destIp),
      protocol: flow.protocol,
      destPort: flow.destPort,
    }
    const { verdict, trace } = routePacket(running.decide(), packet, detectorOf(one.node))
    return { flow, outcome: outcomeOf(verdict), trace }
  })
}

/** What is wrong, a line for each flow; empty when all is well. */
export function faultsOf(judged: readonly JudgedFlow[], allowed = isAllowed): string[] {
  return judged
    .filter(({ flow, outcome }) => !allowed(flow, outcome))
    .map(({ flow, outcome, trace }) => {
      const wanted = [flow.expect, ...Object.values(flow.expectBy)].filter((want) => want !== undefined)
      const want = wanted.map(outcomeText).join(' or ')
      return `${flow.grade} "${flow.name}": ${outcomeText(outcome)}, not ${want} (${trace.join('; ')})`
    })
}
