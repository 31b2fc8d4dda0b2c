/** Which scheduler a virtual server gets: the Service's wish, else its algorithm, else the default. */
import type { PortForwarding, Target } from '../../forwarding/forwarding.ts'

/** What Linux has; the two with `-port` hash the client's port too. */
export const SCHEDULERS: ReadonlySet<string> = new Set([
  'rr',
  'wrr',
  'lc',
  'wlc',
  'sh',
  'sh-port',
  'dh',
  'sed',
  'nq',
  'mh',
  'mh-port',
  'lblc',
  'lblcr',
  'fo',
  'ovf',
])

/** The scheduler that does the same and looks at weights. */
const WEIGHTED: Readonly<Record<string, string>> = { rr: 'wrr', lc: 'wlc', nq: 'sed' }

export interface SchedulerContext {
  readonly defaultScheduler: string
  /** Kernel modules that were tried and are not there, e.g. `mh`. */
  readonly unavailable: ReadonlySet<string>
}

export interface SchedulerChoice {
  readonly scheduler: string
  /** Why the wish was not followed; a clause for people. `undefined`: it was, or there was none. */
  readonly problem: string | undefined
}

export function chooseScheduler(
  port: Pick<PortForwarding, 'algorithm' | 'ipvsScheduler' | 'pools'>,
  context: SchedulerContext,
): SchedulerChoice {
  const wish = port.ipvsScheduler ?? schedulerOfAlgorithm(port.algorithm)
  const problem = wish === undefined ? noRandomChoice(port, context) : problemOf(wish, context)
  const chosen = wish === undefined || problem !== undefined ? context.defaultScheduler : wish
  const pools = [port.pools.cluster, port.pools.local]
  const weighted = pools.every(hasEqualWeights) ? undefined : WEIGHTED[chosen]
  const scheduler = weighted === undefined || context.unavailable.has(weighted) ? chosen : weighted
  return { scheduler, problem }
}

/** `sh-port` is the module `sh` with a flag. */
export function moduleOf(scheduler: string): string {
  return scheduler.split('-')[0] ?? scheduler
}

/**
 * The name that the flag `--ipvs-scheduler` stands for. kube-proxy hashes the port as well when it is told `mh`, so
 * the flag does; an annotation says what it means.
 */
export function schedulerOfFlag(flag: string): string {
  if (flag === '') return 'rr'
  return flag === 'mh' ? 'mh-port' : flag
}

/** Weights as the kernel shall see them: all equal is 1, as kube-proxy writes it. */
export function serverWeights(targets: readonly Target[]): readonly number[] {
  return hasEqualWeights(targets) ? targets.map(() => 1) : targets.map((target) => target.weight)
}

/** Round robin from a start of its own on every node comes closest to a random choice. */
function noRandomChoice(
  { algorithm }: Pick<PortForwarding, 'algorithm'>,
  { defaultScheduler }: SchedulerContext,
): string | undefined {
  return algorithm === 'random' ? `IPVS has no random choice; "${defaultScheduler}" is used` : undefined
}

function schedulerOfAlgorithm(algorithm: PortForwarding['algorithm']): string | undefined {
  if (algorithm === 'source-hash') return 'sh'
  return algorithm === 'least-connection' ? 'lc' : undefined
}

function problemOf(wish: string, context: SchedulerContext): string | undefined {
  if (!SCHEDULERS.has(wish))
    return `"${wish}" is no IPVS scheduler (one of ${[...SCHEDULERS].join(', ')}); "${context.defaultScheduler}" is used`
  if (context.unavailable.has(moduleOf(wish)))
    return `this kernel has no module ip_vs_${moduleOf(wish)}; "${context.defaultScheduler}" is used`
  return undefined
}

function hasEqualWeights(targets: readonly Target[]): boolean {
  return targets.every((target) => target.weight === targets[0]?.weight)
}
