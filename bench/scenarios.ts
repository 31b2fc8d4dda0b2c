/** What is measured, as data. Every number a reader may want to change stands here. */

/** What happens to the cluster while the proxy runs. */
export type Exercise = 'size' | 'churn' | 'rolling' | 'restart' | 'api-restart'

export interface Scenario {
  readonly name: string
  readonly services: number
  /** Endpoints of each Service. */
  readonly endpoints: number
  /** `size`: start, single changes, data plane and rest. The others: one kind of trouble at one size. */
  readonly exercise: Exercise
  /** Observed changes of one endpoint; 0: none is looked for. */
  readonly changes: number
  /** Connections timed to each target. */
  readonly connections: number
  /** Part of `--quick`. */
  readonly quick: boolean
  readonly about: string
}

/** Endpoint changes per second and seconds of the churn; pods of the rolling restart and pods replaced per second. */
export const CHURN = { perSecond: 100, seconds: 60 } as const
export const ROLLING = { pods: 500, perSecond: 50 } as const

function size(services: number, endpoints: number, more: Partial<Scenario> = {}): Scenario {
  const name = `${services}x${endpoints}`
  const about = `${services.toLocaleString('en')} Services × ${endpoints.toLocaleString('en')} endpoints`
  return {
    ...{ name, services, endpoints, about, exercise: 'size', changes: 60, connections: 3000, quick: false },
    ...more,
  }
}

function trouble(name: string, exercise: Exercise, about: string): Scenario {
  return { ...size(1000, 5), name, exercise, about: `${about}, 1,000 Services × 5 endpoints` }
}

export const SCENARIOS: readonly Scenario[] = [
  size(100, 5, { quick: true }),
  size(1000, 5, { quick: true }),
  size(5000, 5),
  size(10_000, 5),
  size(30_000, 5, { changes: 30 }),
  size(5000, 50, { changes: 20 }),
  size(1000, 50),
  // Clients meet the one new endpoint once in 5,000 connections: when they see a change would be luck.
  size(1, 5000, { changes: 0 }),
  trouble('churn', 'churn', `${CHURN.perSecond} endpoint changes a second for ${CHURN.seconds} seconds`),
  trouble('rolling', 'rolling', `rolling restart of ${ROLLING.pods} pods`),
  trouble('restart', 'restart', 'the proxy is killed and started again'),
  trouble('api-restart', 'api-restart', 'the API server goes away for five seconds'),
]

/** `--quick` shortens what is repeated, and nothing else. */
export function quickly(scenario: Scenario): Scenario {
  return {
    ...scenario,
    changes: Math.min(scenario.changes, 20),
    connections: Math.min(scenario.connections, 1000),
  }
}
