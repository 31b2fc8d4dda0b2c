/** `fairlead doctor --self-test`: what to try comes from where `fairlead explain` has it. */
import { runSelfTest } from '../../daemon/doctor/run-self-test.ts'
import { error, type Finding, type Judgement, type NodeFacts } from '../../explain/doctor/node-facts.ts'
import { judgeSelfTest } from '../../explain/doctor/self-test-judgement.ts'
import { selfTestPlan } from '../../explain/doctor/self-test.ts'
import type { Explanation } from '../../explain/explanation.ts'
import { ProgramRunner } from '../../kernel/program-runner.ts'
import { systemClock } from '../../runtime/clock.ts'
import { type Asked, ask } from '../ask.ts'

export interface SelfTestOptions extends Asked {
  readonly facts: NodeFacts
  readonly signal: AbortSignal
}

/** `subject`: as for `fairlead explain`. Rejects when the signal is aborted. */
export async function selfTest(subject: string, options: SelfTestOptions): Promise<readonly Finding[]> {
  return (await judgements(subject, options)).map((judgement) => ({ check: 'self-test', ...judgement }))
}

async function judgements(
  subject: string,
  { facts, signal, ...asked }: SelfTestOptions,
): Promise<readonly Judgement[]> {
  let explanation: Explanation
  try {
    explanation = (await ask(asked, { path: '/explain', query: { subject } }, signal)) as Explanation
  } catch (reason) {
    if (signal.aborted) throw reason
    // The other findings are worth having, and may be the cause.
    return [error((reason as Error).message, 'start the proxy, or name --kubeconfig to do without it')]
  }
  const { targets, findings } = selfTestPlan(explanation)
  const tried = await runSelfTest(targets, { exec: new ProgramRunner(), clock: systemClock, signal })
  return [...findings, ...judgeSelfTest(tried, facts.links)]
}
