/**
 * The servers behind `healthCheckNodePort`: a load balancer asks each node whether it has a ready endpoint of a
 * Service with `externalTrafficPolicy: Local`, and sends only there. One instance per IP family.
 *
 * Reconciled, not driven by events: `sync` states what should be open and counted; what cannot be opened is told, left
 * closed and tried again.
 */
import type { RequestListener, Server } from 'node:http'
import type { ServiceKey } from '../model/service-port.ts'
import type { Family } from '../net/ip.ts'
import type { Clock } from '../runtime/clock.ts'
import { type HttpAnswer, type ListenOn, close, listen, send } from '../runtime/http-listener.ts'
import type { Logger } from '../runtime/logger.ts'
import { HEALTH_HEADERS } from './healthz-server.ts'

const RETRY_MS = 5000

/** `all`: every address of the family; otherwise these, none of them meaning no listener. */
export type HealthCheckAddresses = 'all' | readonly string[]

export interface ServiceHealthOptions {
  readonly family: Family
  /** Whether the proxy itself works (not whether the node is to stay). */
  readonly isProxyHealthy: () => boolean
  readonly clock: Clock
  readonly logger: Logger
  /** For the event FailedToStartServiceHealthcheck. */
  readonly onFailure?: (service: ServiceKey, error: Error) => void
  /** How a server comes to listen; the default is the real thing. */
  readonly listen?: (handler: RequestListener, on: ListenOn) => Promise<Server>
}

interface OpenService {
  readonly port: number
  readonly servers: readonly Server[]
}

/** Bytes and headers exactly as kube-proxy sends them: tabs, no newline at the end. */
export function serviceHealthAnswer(service: string, localReady: number, proxyHealthy: boolean): HttpAnswer {
  const slash = service.indexOf('/')
  const body = JSON.stringify(
    {
      service: { namespace: service.slice(0, slash), name: service.slice(slash + 1) },
      localEndpoints: localReady,
      serviceProxyHealthy: proxyHealthy,
    },
    undefined,
    '\t',
  )
  const headers = { ...HEALTH_HEADERS, 'X-Load-Balancing-Endpoint-Weight': String(localReady) }
  return { status: localReady > 0 && proxyHealthy ? 200 : 503, headers, body }
}

export class ServiceHealth {
  readonly #options: ServiceHealthOptions
  readonly #open = new Map<ServiceKey, OpenService>()
  #wanted: ReadonlyMap<ServiceKey, number> = new Map()
  #localReady: ReadonlyMap<ServiceKey, number> = new Map()
  #addresses: HealthCheckAddresses = 'all'
  #queue: Promise<void> = Promise.resolve()
  #stopped = new AbortController()

  constructor(options: ServiceHealthOptions) {
    this.#options = options
  }

  /** Which Services have a health-check port. Resolves when the listeners are as wanted, or have failed. */
  syncServices(
    ports: ReadonlyMap<ServiceKey, number>,
    addresses: HealthCheckAddresses = 'all',
  ): Promise<void> {
    // What was counted for a port that closes does not count for the one that opens.
    const kept = [...this.#localReady].filter(([service]) => this.#wanted.get(service) === ports.get(service))
    this.#localReady = new Map(kept)
    this.#wanted = ports
    const moved = JSON.stringify(addresses) !== JSON.stringify(this.#addresses)
    this.#addresses = addresses
    return this.#then(() => this.#reconcile(moved))
  }

  /** Distinct addresses of local ready endpoints by Service; Services without a health-check port are passed over. */
  syncEndpoints(localReady: ReadonlyMap<ServiceKey, number>): void {
    this.#localReady = new Map([...localReady].filter(([service]) => this.#wanted.has(service)))
  }

  answer(service: ServiceKey): HttpAnswer {
    return serviceHealthAnswer(service, this.#localReady.get(service) ?? 0, this.#options.isProxyHealthy())
  }

  /** Services whose port is open now. */
  get listening(): readonly ServiceKey[] {
    return [...this.#open.keys()]
  }

  /** How many ports are open, and how many are wanted and not open. */
  get ports(): { readonly open: number; readonly failed: number } {
    const open = [...this.#open.keys()].filter((service) => this.#wanted.has(service)).length
    return { open, failed: this.#wanted.size - open }
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    this.#wanted = new Map()
    await this.#then(() => this.#reconcile(false))
  }

  /** One reconciliation at a time, in order. */
  #then(step: () => Promise<void>): Promise<void> {
    this.#queue = this.#queue.then(step)
    return this.#queue
  }

  async #reconcile(reopen: boolean): Promise<void> {
    for (const [service, { port, servers }] of [...this.#open]) {
      if (!reopen && this.#wanted.get(service) === port) continue
      this.#open.delete(service)
      await Promise.all(servers.map(close))
    }
    let failed = false
    for (const [service, port] of this.#wanted)
      if (!this.#open.has(service)) failed = !(await this.#openService(service, port)) || failed
    if (failed) this.#retryLater()
  }

  async #openService(service: ServiceKey, port: number): Promise<boolean> {
    const { family, logger, onFailure } = this.#options
    const handler: RequestListener = (_, response) => send(response, this.answer(service))
    const servers: Server[] = []
    try {
      for (const ip of this.#listenAddresses())
        servers.push(
          await (this.#options.listen ?? listen)(handler, { ip, port, ipv6Only: family === 'IPv6' }),
        )
      this.#open.set(service, { port, servers })
      logger.info({ service, family, port }, 'Opened health-check port')
      return true
    } catch (cause) {
      await Promise.all(servers.map(close))
      const error = new Error(`Cannot open health-check port ${port} of ${service}: ${reasonOf(cause)}`, {
        cause,
      })
      logger.error(
        { err: error, service, family, port, retryInMs: RETRY_MS },
        'Cannot open health-check port',
      )
      onFailure?.(service, error)
      return false
    }
  }

  #listenAddresses(): readonly string[] {
    if (this.#addresses !== 'all') return this.#addresses
    return [this.#options.family === 'IPv6' ? '::' : '0.0.0.0']
  }

  /** The next sync may be far away; a port that was taken for a moment must not stay closed until then. */
  #retryLater(): void {
    const { clock } = this.#options
    clock.sleep(RETRY_MS, this.#stopped.signal).then(
      () => this.#then(() => this.#reconcile(false)),
      () => undefined,
    )
  }
}

function reasonOf(cause: unknown): string {
  const { code } = cause as NodeJS.ErrnoException
  return code === 'EADDRINUSE' ? 'EADDRINUSE; another process or Service holds it' : (code ?? String(cause))
}
