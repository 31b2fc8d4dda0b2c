/**
 * The server on metricsBindAddress: `/metrics` and what kube-proxy offers beside it. It answers from callbacks,
 * so that it shows what is in force now and knows nobody.
 */
import type { IncomingMessage, RequestListener } from 'node:http'
import type { BackendName } from '../backends/backend.ts'
import type { Clock } from '../runtime/clock.ts'
import { type HttpAnswer, NOT_FOUND, send, type StreamedAnswer } from '../runtime/http-listener.ts'
import { type DebugOptions, debugAnswer } from './debug-endpoints.ts'
import { HealthSlis } from './health-slis.ts'
import type { ProxyMetrics } from './proxy-metrics.ts'

export interface MetricsServerOptions {
  readonly metrics: Pick<ProxyMetrics, 'text' | 'contentType'>
  readonly clock: Clock
  /** Time since the epoch at which the process began. */
  readonly startedMs: number
  readonly version: string
  readonly mode: () => BackendName
  /** The configuration in force, as a v1alpha1 document. */
  readonly config: () => object
  /** Flags with their values in force, for /flagz; `undefined`: switched off by its gate. */
  readonly flags: (() => Readonly<Record<string, string>>) | undefined
  /** /statusz is offered (gate ComponentStatusz). */
  readonly statusz: boolean
  readonly profiling: () => boolean
  readonly debug: DebugOptions
}

type Answer = HttpAnswer | StreamedAnswer
type Route = (request: IncomingMessage, url: URL) => Answer | Promise<Answer>

const NOT_MACHINE_READABLE =
  'Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.'

export function metricsHandler(options: MetricsServerOptions): RequestListener {
  const routes = routesOf(options)
  return (request, response) => {
    const url = URL.parse(request.url ?? '/', 'http://node')
    answer(routes, options, request, url).then(
      (result) => send(response, result),
      (error: unknown) => send(response, text(500, `Cannot answer: ${String(error)}\n`)),
    )
  }
}

async function answer(
  routes: ReadonlyMap<string, Route>,
  options: MetricsServerOptions,
  request: IncomingMessage,
  url: URL | null,
): Promise<Answer> {
  if (url === null) return NOT_FOUND
  const route = routes.get(url.pathname)
  if (route !== undefined) return route(request, url)
  const isDebug = url.pathname.startsWith('/debug/')
  return isDebug && options.profiling() ? debugAnswer(request, url, options.debug) : NOT_FOUND
}

function routesOf(options: MetricsServerOptions): ReadonlyMap<string, Route> {
  const slis = new HealthSlis(options.startedMs)
  const ping: Route = (_, url) => {
    slis.record('ping', true)
    return text(200, url.searchParams.has('verbose') ? '[+]ping ok\nhealthz check passed\n' : 'ok')
  }
  const routes = new Map<string, Route>([
    ['/metrics', async () => ({ ...text(200, await options.metrics.text()), headers: exposition(options) })],
    ['/metrics/slis', (request) => slisAnswer(request, slis)],
    ['/healthz', ping],
    ['/healthz/ping', ping],
    ['/proxyMode', () => text(200, options.mode())],
    ['/configz', () => json({ 'kubeproxy.config.k8s.io': options.config() })],
  ])
  const { flags } = options
  if (flags !== undefined) routes.set('/flagz', (request) => flagz(request, flags()))
  if (options.statusz) routes.set('/statusz', (request) => statusz(request, options, [...routes.keys()]))
  return routes
}

function exposition({ metrics }: MetricsServerOptions): HttpAnswer['headers'] {
  return { 'Content-Type': metrics.contentType }
}

async function slisAnswer(request: IncomingMessage, slis: HealthSlis): Promise<HttpAnswer> {
  if (request.method === 'DELETE') {
    slis.reset()
    return text(200, 'metrics reset\n')
  }
  return { status: 200, headers: { 'Content-Type': slis.contentType }, body: await slis.text() }
}

function text(status: number, body: string): HttpAnswer {
  const headers = { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' }
  return { status, headers, body }
}

function json(value: object): HttpAnswer {
  return { status: 200, headers: { 'Content-Type': 'application/json' }, body: `${JSON.stringify(value)}\n` }
}

/** The media type of Kubernetes' z-pages; plain JSON is understood too. */
function wantsJson(request: IncomingMessage): boolean {
  return (request.headers.accept ?? '').includes('application/json')
}

const NAMED = { apiVersion: 'config.k8s.io/v1alpha1', metadata: { name: 'kube-proxy' } }

function flagz(request: IncomingMessage, flags: Readonly<Record<string, string>>): HttpAnswer {
  if (wantsJson(request)) return json({ kind: 'Flagz', ...NAMED, flags })
  const lines = Object.entries(flags).map(([name, value]) => `${name}=${value}`)
  return text(200, `\nkube-proxy flagz\n${NOT_MACHINE_READABLE}\n\n${lines.sort().join('\n')}\n`)
}

function statusz(
  request: IncomingMessage,
  options: MetricsServerOptions,
  paths: readonly string[],
): HttpAnswer {
  const startTime = new Date(options.startedMs).toISOString()
  const uptimeSeconds = Math.floor((options.clock.now() - options.startedMs) / 1000)
  const facts = { startTime, uptimeSeconds, binaryVersion: options.version, paths }
  if (wantsJson(request)) return json({ kind: 'Statusz', ...NAMED, ...facts })
  const lines = [
    `Started: ${startTime}`,
    `Up: ${uptimeSeconds} s`,
    `Binary version: ${options.version}`,
    `Paths: ${paths.join(' ')}`,
  ]
  return text(200, `\nkube-proxy statusz\n${NOT_MACHINE_READABLE}\n\n${lines.join('\n')}\n`)
}
