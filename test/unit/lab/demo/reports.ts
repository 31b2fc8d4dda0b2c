import { type DemoFacts, demoResult, type DemoResult } from '../../../../src/lab/demo/demo-result.ts'
import { Tally } from '../../../../src/lab/demo/tally.ts'
import type { LoadReport } from '../../../../src/lab/load-client.ts'

export interface ReportChoices {
  readonly atMs: number
  /** Connections by pod. */
  readonly answered?: Readonly<Record<string, number>>
  /** Time of the first connection in each pod; default `atMs`. */
  readonly firstMs?: number
  readonly failed?: readonly (readonly [atMs: number, why: string])[]
}

/** What a client would have reported. */
export function aReport({ atMs, answered = {}, firstMs = atMs, failed = [] }: ReportChoices): LoadReport {
  return {
    atMs,
    answered: Object.fromEntries(Object.entries(answered).map(([pod, count]) => [pod, { count, firstMs }])),
    failed: failed.map(([failedMs, why]) => ({ atMs: failedMs, why })),
    tookMs: [],
  }
}

export const FACTS: DemoFacts = {
  mode: 'iptables',
  network: 'bridge',
  kernel: 'host',
  nodes: 2,
  pods: 4,
  restarts: 9,
  firstAnswerMs: 1234.5,
  killKnownMs: undefined,
}

/** The result of a demo in which nothing happened but what `tell` adds. */
export function aResult(
  tell: (tally: Tally) => void = () => undefined,
  facts: Partial<DemoFacts> = {},
): DemoResult {
  const tally = new Tally()
  tell(tally)
  return demoResult(tally, { ...FACTS, ...facts })
}
