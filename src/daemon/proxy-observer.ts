/** What the proxy tells to those who watch it: metrics, health, events and the log. Every method may be left out. */
import type { StaleFlow } from '../backends/stale-flows.ts'
import type { Drift } from '../backends/backend.ts'
import type { PortForwarding } from '../forwarding/forwarding.ts'
import type { KernelError } from '../kernel/kernel-error.ts'
import type { ResourceEvent } from '../model/resource-event.ts'
import type { ServiceKey } from '../model/service-port.ts'
import type { Family } from '../net/ip.ts'
import type { SyncReport } from '../sync/family-pipeline.ts'
import type { ForeignProxy } from './foreign-proxies.ts'

export type OwnServer = 'health server' | 'metrics server'

export interface ProxyObserver {
  /** An object arrived; called before anything is decided. */
  onEvent?(event: ResourceEvent): void
  onQueued?(family: Family): void
  onSynced?(report: SyncReport): void
  onSyncFailed?(family: Family, error: unknown, retryInMs: number): void
  onDrift?(family: Family, drift: Drift): void
  /** `error` undefined: the port is accepted again, or gone. */
  onRefusal?(port: PortForwarding, error: KernelError | undefined): void
  /** The mode or the kernel cannot do what the Service asked for; `instead` is a clause that says what it gets. */
  onSubstitution?(port: PortForwarding, instead: string): void
  /** A program of the host listens on the port's NodePort; `what` is a clause that says so. */
  onNodePortTaken?(port: PortForwarding, what: string): void
  onFlowsDeleted?(family: Family, flows: readonly StaleFlow[], tookMs: number): void
  onFlowsFailed?(family: Family, error: unknown): void
  /** One of the daemon's own servers; it is tried again. */
  onCannotListen?(server: OwnServer, error: Error): void
  /** The health-check port of a Service cannot be opened on this node; it is tried again. */
  onHealthCheckClosed?(service: ServiceKey, error: Error): void
  /** A kube-proxy runs beside us. */
  onForeignProxy?(proxy: ForeignProxy): void
}

/** One observer that tells many. */
export function tellAll(observers: readonly ProxyObserver[]): Required<ProxyObserver> {
  return {
    onEvent: (event) => observers.forEach((observer) => observer.onEvent?.(event)),
    onQueued: (family) => observers.forEach((observer) => observer.onQueued?.(family)),
    onSynced: (report) => observers.forEach((observer) => observer.onSynced?.(report)),
    onSyncFailed: (family, error, retryInMs) =>
      observers.forEach((observer) => observer.onSyncFailed?.(family, error, retryInMs)),
    onDrift: (family, drift) => observers.forEach((observer) => observer.onDrift?.(family, drift)),
    onRefusal: (port, error) => observers.forEach((observer) => observer.onRefusal?.(port, error)),
    onSubstitution: (port, instead) =>
      observers.forEach((observer) => observer.onSubstitution?.(port, instead)),
    onNodePortTaken: (port, what) => observers.forEach((observer) => observer.onNodePortTaken?.(port, what)),
    onFlowsDeleted: (family, flows, tookMs) =>
      observers.forEach((observer) => observer.onFlowsDeleted?.(family, flows, tookMs)),
    onFlowsFailed: (family, error) =>
      observers.forEach((observer) => observer.onFlowsFailed?.(family, error)),
    onCannotListen: (server, error) =>
      observers.forEach((observer) => observer.onCannotListen?.(server, error)),
    onHealthCheckClosed: (service, error) =>
      observers.forEach((observer) => observer.onHealthCheckClosed?.(service, error)),
    onForeignProxy: (proxy) => observers.forEach((observer) => observer.onForeignProxy?.(proxy)),
  }
}
