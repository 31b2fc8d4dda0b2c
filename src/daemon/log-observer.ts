/** What an operator reads in the log: state changes as info, what heals itself as warn, the rest as debug. */
import { KernelError } from '../kernel/kernel-error.ts'
import type { Logger } from '../runtime/logger.ts'
import type { SyncReport } from '../sync/family-pipeline.ts'
import type { ProxyObserver } from './proxy-observer.ts'

/** Lines of a refused script shown around the one that the tool blamed. */
const CONTEXT_LINES = 3

export function logObserver(log: Logger): ProxyObserver {
  const failing = new Set<string>()
  return {
    onSynced: (report) => {
      if (failing.delete(report.family))
        log.info({ family: report.family }, 'Recovered: the kernel follows again')
      logSync(log, report)
    },
    onSyncFailed: (family, error, retryInMs) => {
      const facts = { family, err: error, retryInMs: Math.round(retryInMs), ...scriptFacts(error) }
      if (failing.has(family)) log.debug(facts, 'Cannot program the kernel')
      else log.error(facts, 'Cannot program the kernel')
      failing.add(family)
    },
    onDrift: (family, { what }) => log.warn({ family, what }, 'Somebody else changed our kernel objects'),
    onRefusal: (port, error) => {
      const facts = { service: port.service, port: port.key, family: port.family }
      if (error === undefined) log.info(facts, 'Service port is no longer refused')
      else
        log.error(
          { ...facts, err: error, ...scriptFacts(error) },
          'The kernel refuses a service port; all others are programmed',
        )
    },
    onNodePortTaken: ({ service }, what) =>
      log.warn({ service, what }, 'A NodePort takes a port from a program'),
    onSubstitution: ({ service, key, family }, instead) =>
      log.warn({ service, port: key, family, instead }, 'A Service gets something else than it asked for'),
    onFlowsDeleted: (family, flows, tookMs) =>
      log.info({ family, count: flows.length, durationMs: Math.round(tookMs) }, 'Deleted stale connections'),
    onFlowsFailed: (family, error) => log.warn({ family, err: error }, 'Cannot look after stale connections'),
    onForeignProxy: ({ pid, command }) =>
      log.warn(
        { pid, command },
        'A kube-proxy runs beside us and writes over our rules: stop one of the two',
      ),
  }
}

function logSync(log: Logger, report: SyncReport): void {
  const { family, created, updated, removed, observed, revision, repaired } = report
  const facts = {
    family,
    created,
    updated,
    removed,
    revision,
    ports: report.forwarding.ports.size,
    durationMs: Math.round(report.totalMs),
  }
  if (repaired !== undefined)
    log.warn(
      { ...facts, what: repaired.drift.what, repairedInMs: Math.round(repaired.tookMs) },
      'Repaired our kernel objects',
    )
  else if (observed) log.info(facts, 'Brought the kernel in line')
  else if (created + updated + removed > 0) log.debug(facts, 'Applied changes')
  else log.trace(facts, 'Nothing to apply')
}

/** The lines of the script around the one that was refused. */
function scriptFacts(error: unknown): object {
  if (!(error instanceof KernelError) || error.line === undefined) return {}
  const lines = error.script.split('\n')
  const from = Math.max(0, error.line - 1 - CONTEXT_LINES)
  return {
    script: lines.slice(from, error.line + CONTEXT_LINES).map((line, i) => `${from + i + 1}: ${line}`),
  }
}
