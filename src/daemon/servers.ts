/** The daemon's own HTTP servers; they answer from the start, before anything is in sync. */
import { healthzHandler } from '../health/healthz-server.ts'
import { HttpListener } from '../runtime/http-listener.ts'
import type { Proxy, ProxyOptions } from './proxy.ts'

/** Resolves when the signal is aborted; rejects when a server cannot listen and that is to end the process. */
export async function startServers(proxy: Proxy, options: ProxyOptions, signal: AbortSignal): Promise<void> {
  const { config, clock, log } = options
  const hardFail = config.bindAddressHardFail
  const listeners: Promise<void>[] = []
  if (config.healthzBindAddress !== undefined) {
    const handler = healthzHandler({ health: proxy.health, clock })
    const on = config.healthzBindAddress
    const listener = new HttpListener({ ...on, name: 'health server', handler, clock, logger: log, hardFail })
    listeners.push(listener.run(signal))
  }
  await Promise.all(listeners)
}
