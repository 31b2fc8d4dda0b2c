/** `/healthz` and `/livez` as load balancers, probes and dashboards know them from kube-proxy. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { Clock } from '../runtime/clock.ts'
import { type HttpAnswer, NOT_FOUND, send } from '../runtime/http-listener.ts'
import type { HealthReport, ProxyHealth } from './proxy-health.ts'

export type HealthPath = '/healthz' | '/livez'

/** A time that never was, as Go prints it. */
const NEVER = '0001-01-01T00:00:00Z'

export const HEALTH_HEADERS = {
  'Content-Type': 'application/json',
  'X-Content-Type-Options': 'nosniff',
} as const

/**
 * `/healthz` also asks whether the node is to stay; `/livez` only whether the proxy works. A proxy that has lost its
 * API server is healthy, because it still serves: it says so in `stale`, a field that is absent otherwise.
 */
export function healthAnswer(path: HealthPath, report: HealthReport, details?: object): HttpAnswer {
  const ok = report.healthy && (path === '/livez' || report.nodeEligible)
  const status = [...report.families].map(([family, { updatedMs, healthy }]) => [
    family,
    { lastUpdated: goTime(updatedMs), healthy },
  ])
  const body = {
    // While all is well the last update is "now", so that its age does not alarm anybody.
    lastUpdated: goTime(ok ? report.nowMs : report.updatedMs),
    currentTime: goTime(report.nowMs),
    ...(path === '/healthz' ? { nodeEligible: report.nodeEligible } : {}),
    healthy: report.healthy,
    status: Object.fromEntries(status) as unknown,
    ...(report.stale.length === 0 ? {} : { stale: report.stale }),
    ...details,
  }
  return { status: ok ? 200 : 503, headers: HEALTH_HEADERS, body: JSON.stringify(body) }
}

/** RFC 3339 with as many digits as needed, in UTC. */
export function goTime(ms: number | undefined): string {
  if (ms === undefined) return NEVER
  return new Date(ms).toISOString().replace(/\.?0*Z$/, 'Z')
}

export interface HealthzHandlerOptions {
  readonly health: ProxyHealth
  readonly clock: Clock
  /** For `proxy_healthz_total` and `proxy_livez_total`. */
  readonly onAnswer?: (path: HealthPath, status: number) => void
  /** More fields for `?verbose`: versions of tools, what is programmed. Plain JSON data. */
  readonly details?: () => object
}

/** Handles any method; paths other than the two are 404. */
export function healthzHandler(options: HealthzHandlerOptions): RequestListener {
  const { health, clock, onAnswer, details } = options
  return (request: IncomingMessage, response: ServerResponse) => {
    // Only path and query matter; the host is there because URL wants one.
    const url = URL.parse(request.url ?? '/', 'http://node')
    const path = url?.pathname
    if (path !== '/healthz' && path !== '/livez') {
      send(response, NOT_FOUND)
      return
    }
    const verbose = url?.searchParams.has('verbose') === true
    const answer = healthAnswer(path, health.report(clock.now()), verbose ? details?.() : undefined)
    onAnswer?.(path, answer.status)
    send(response, answer)
  }
}
