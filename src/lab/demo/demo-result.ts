import type { BackendName } from '../../backends/backend.ts'
import type { PodNetworkName } from '../networks/pod-network.ts'
import { CLIENT_KINDS, type ClientKind, type Failure, percentile, type Phase, type Tally } from './tally.ts'

/** What `--json` writes; times in milliseconds. */
export interface DemoResult {
  readonly mode: BackendName
  readonly network: PodNetworkName
  /** The kernel that carried it: this machine's, or user-mode-linux. */
  readonly kernel: 'host' | 'user-mode-linux'
  readonly nodes: number
  readonly pods: number
  /** By kind of client. Connections while the Service had no pod at all are counted apart, in `refusedAtZero`. */
  readonly connections: Readonly<Record<ClientKind, { readonly total: number; readonly failed: number }>>
  /** Failed connections by what was going on. */
  readonly failedByPhase: Readonly<Partial<Record<Phase, number>>>
  /** By what the client was told, without those of `refusedAtZero`: `ECONNREFUSED`, `ECONNRESET`, `timeout`. */
  readonly failedByReason: Readonly<Partial<Record<string, number>>>
  readonly refusedAtZero: number
  /** Pods that were replaced, killed or scaled away. */
  readonly restarts: number
  /** API change → first connection on the new endpoint. */
  readonly propagationMs: {
    readonly p50: number | null
    readonly p99: number | null
    readonly max: number | null
  }
  readonly distribution: Readonly<Record<string, number>>
  /** Command → first answered connection. */
  readonly firstAnswerMs: number
  /**
   * Connections begun later than the API's word that the killed pod is gone plus the longest propagation of this run,
   * and failed nevertheless: the proxy's own.
   */
  readonly failedAfterKillWasKnown: number
}

export interface DemoFacts {
  readonly mode: BackendName
  readonly network: PodNetworkName
  readonly kernel: DemoResult['kernel']
  readonly nodes: number
  readonly pods: number
  readonly restarts: number
  readonly firstAnswerMs: number
  /** When the API first said that the killed pod was not ready; `undefined` when nothing was killed. */
  readonly killKnownMs: number | undefined
}

export function demoResult(tally: Tally, given: DemoFacts): DemoResult {
  const { mode, network, kernel, nodes, pods, restarts, firstAnswerMs, killKnownMs } = given
  const facts = { mode, network, kernel, nodes, pods, restarts, firstAnswerMs }
  const atZero = tally.failures.filter(isExpectedAtZero)
  const spread = tally.propagationMs()
  const totals = tally.totals()
  const counted = (client: ClientKind): { total: number; failed: number } => {
    const apart = atZero.filter((failure) => failure.client === client).length
    return { total: totals[client].total - apart, failed: totals[client].failed - apart }
  }
  const round = (ms: number | undefined): number | null => (ms === undefined ? null : Math.round(ms))
  const unexpected = tally.failures.filter((failure) => !isExpectedAtZero(failure))
  const followedMs = (killKnownMs ?? Infinity) + (spread.at(-1) ?? 0)
  const afterKill = tally.failedIn('kill').filter(({ atMs }) => atMs > followedMs)
  return {
    ...facts,
    connections: { pod: counted('pod'), node: counted('node'), outside: counted('outside') },
    failedByPhase: countBy(unexpected, ({ phase }) => phase),
    failedByReason: countBy(unexpected, ({ why }) => why),
    refusedAtZero: atZero.length,
    propagationMs: {
      p50: round(percentile(spread, 0.5)),
      p99: round(percentile(spread, 0.99)),
      max: round(spread.at(-1)),
    },
    distribution: Object.fromEntries(tally.distribution()),
    failedAfterKillWasKnown: afterKill.length,
  }
}

/** With no pod at all, being refused at once is the right answer; hanging would not be. */
function isExpectedAtZero({ phase, why }: Failure): boolean {
  return (phase === 'scale-to-zero' || phase === 'scale-back') && why === 'ECONNREFUSED'
}

function countBy<K extends string>(
  failures: readonly Failure[],
  key: (failure: Failure) => K,
): Partial<Record<K, number>> {
  const counts: Partial<Record<K, number>> = {}
  for (const failure of failures) counts[key(failure)] = (counts[key(failure)] ?? 0) + 1
  return counts
}

/** The table at the end: one line per fact, aligned. */
export function resultTable(result: DemoResult): string {
  const rows: [string, string][] = [
    ['mode, pod network', `${result.mode}, ${result.network} (${result.kernel} kernel)`],
    ['nodes, pods', `${result.nodes}, ${result.pods}`],
    ...CLIENT_KINDS.map((client): [string, string] => {
      const { total, failed } = result.connections[client]
      return [`connections from ${CLIENT_NAMES[client]}`, `${total}, failed ${failed}`]
    }),
    ['pods replaced', String(result.restarts)],
    ['refused while there was no pod', String(result.refusedAtZero)],
    ['API change → first connection', propagationText(result.propagationMs)],
    ['command → first answer', `${Math.round(result.firstAnswerMs)} ms`],
  ]
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join('\n')
}

export const CLIENT_NAMES: Readonly<Record<ClientKind, string>> = {
  pod: 'a pod (ClusterIP)',
  node: 'a node (ClusterIP)',
  outside: 'outside (NodePort)',
}

function propagationText({ p50, p99, max }: DemoResult['propagationMs']): string {
  return p50 === null ? 'nothing changed' : `p50 ${p50} ms, p99 ${p99 ?? '–'} ms, max ${max ?? '–'} ms`
}
