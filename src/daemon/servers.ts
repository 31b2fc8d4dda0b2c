/** The daemon's own HTTP servers; they answer from the start, before anything is in sync. */
import type { RequestListener } from 'node:http'
import type { ListenAddress } from '../config/config.ts'
import { healthzHandler } from '../health/healthz-server.ts'
import { metricsHandler } from '../metrics/metrics-server.ts'
import { HttpListener } from '../runtime/http-listener.ts'
import { explainHandler, serveExplainSocket } from './explain-socket.ts'
import { proxySource } from './explain-view.ts'
import { KernelNumbers } from './kernel-numbers.ts'
import { refreshing, refreshMetrics } from './metrics-observer.ts'
import type { Proxy, ProxyOptions } from './proxy.ts'
import type { OwnServer } from './proxy-observer.ts'

/** Resolves when the signal is aborted; rejects when a server cannot listen and that is to end the process. */
export async function startServers(proxy: Proxy, options: ProxyOptions, signal: AbortSignal): Promise<void> {
  const { config, clock, log } = options
  const serve = (on: ListenAddress | undefined, name: OwnServer, handler: RequestListener): Promise<void> => {
    if (on === undefined) return Promise.resolve()
    const listener = new HttpListener({
      ...on,
      name,
      handler,
      clock,
      logger: log,
      hardFail: config.bindAddressHardFail,
      onFailure: (error) => proxy.cannotListen(name, error),
    })
    return listener.run(signal)
  }
  const health = healthzHandler({
    health: proxy.health,
    clock,
    onAnswer: (path, status) => proxy.metrics.recordHealthAnswer(path, status),
  })
  const { explainSocket: path } = config
  const source = proxySource(proxy, options.exec, clock)
  const explaining =
    path === undefined
      ? undefined
      : serveExplainSocket({ path, clock, log, handler: explainHandler({ source, signal }) }, signal)
  await Promise.all([
    explaining,
    serve(config.healthzBindAddress, 'health server', health),
    serve(config.metricsBindAddress, 'metrics server', metricsServer(proxy, options, signal)),
  ])
}

function metricsServer(
  proxy: Proxy,
  { config, clock, version, document, flags, setVerbosity }: ProxyOptions,
  signal: AbortSignal,
): RequestListener {
  const handler = metricsHandler({
    metrics: proxy.metrics,
    clock,
    version,
    startedMs: clock.now() - process.uptime() * 1000,
    mode: () => config.mode,
    config: () => document,
    flags: config.featureGates['ComponentFlagz'] === true ? () => flags : undefined,
    statusz: config.featureGates['ComponentStatusz'] === true,
    profiling: () => config.enableProfiling,
    debug: { clock, setVerbosity },
  })
  const pipelines = () => proxy.families.map(({ pipeline }) => pipeline)
  const numbers = new KernelNumbers({ metrics: proxy.metrics, pipelines, clock, signal })
  return refreshing(handler, async () => {
    refreshMetrics(proxy.metrics, proxy, clock)
    await numbers.refresh()
  })
}
