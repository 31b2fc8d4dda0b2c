/**
 * Which external addresses a Service may not have because they are somebody else's: anybody who may write
 * `externalIPs` could otherwise take over the traffic of the cluster (CVE-2020-8554). docs/forwarding.md §6.
 *
 * It is told of every change of the cluster, and says which service ports must be looked at again because of it.
 */
import { KeyIndex } from '../collections/key-index.ts'
import type { ShardedMap } from '../collections/sharded-map.ts'
import type { Endpoint } from '../model/endpoint.ts'
import type { ServiceKey, ServicePort, ServicePortKey } from '../model/service-port.ts'
import { type Cidr, cidrContains } from '../net/cidr.ts'
import type { Ip } from '../net/ip.ts'
import type { Protocol } from '../net/protocol.ts'
import type { ConflictReason } from './conflict.ts'
import type { Frontend, PortForwarding } from './forwarding.ts'

type EndpointMap = ShardedMap<ServicePortKey, readonly Endpoint[]>

export interface Refusal {
  readonly reason: ConflictReason
  readonly owner: ServicePortKey | undefined
}

export interface GuardRules {
  /** `undefined`: every external IP is allowed, but for the node's own address. */
  readonly externalIpCidrs: readonly Cidr[] | undefined
  readonly primaryIp: Ip | undefined
}

const NO_IPS: ReadonlySet<Ip> = new Set<Ip>()

export class AddressGuard {
  readonly #clusterIps = new KeyIndex<ServicePortKey>()
  /** Who wants which external address. */
  readonly #wanted = new KeyIndex<ServicePortKey>()
  /** Endpoints on addresses that somebody wants; on all others nobody asks. */
  readonly #endpoints = new KeyIndex<ServicePortKey>()
  readonly #newlyWanted = new Set<Ip>()
  readonly #touched = new Set<Ip>()

  /** A service port appeared (`from` undefined), changed or went (`to` undefined). */
  servicePortChanged(key: ServicePortKey, from: ServicePort | undefined, to: ServicePort | undefined): void {
    if (from?.clusterIp !== to?.clusterIp) {
      this.#clusterIpChanged(from?.clusterIp, (ip) => this.#clusterIps.delete(ip, key))
      this.#clusterIpChanged(to?.clusterIp, (ip) => this.#clusterIps.add(ip, key))
    }
    const before = wantedBy(from)
    const after = wantedBy(to)
    for (const ip of before) if (!after.has(ip)) this.#release(ip, key)
    for (const ip of after) if (!before.has(ip)) this.#want(ip, key)
  }

  #clusterIpChanged(ip: Ip | undefined, change: (ip: Ip) => void): void {
    if (ip === undefined) return
    change(ip)
    this.#touched.add(ip)
  }

  #want(ip: Ip, key: ServicePortKey): void {
    if (!this.#wanted.has(ip)) this.#newlyWanted.add(ip)
    this.#wanted.add(ip, key)
  }

  #release(ip: Ip, key: ServicePortKey): void {
    this.#wanted.delete(ip, key)
    // Nobody keeps the list up to date from now on; it is made anew when the address is wanted again.
    if (!this.#wanted.has(ip)) this.#endpoints.clear(ip)
  }

  endpointsChanged(
    key: ServicePortKey,
    from: readonly Endpoint[] | undefined,
    to: readonly Endpoint[] | undefined,
  ): void {
    for (const { ip } of from ?? []) {
      if (!this.#wanted.has(ip)) continue
      this.#endpoints.delete(ip, key)
      this.#touched.add(ip)
    }
    for (const { ip } of to ?? []) {
      if (!this.#wanted.has(ip)) continue
      this.#endpoints.add(ip, key)
      this.#touched.add(ip)
    }
  }

  /**
   * Ends a round of changes: learns the endpoints on newly wanted addresses, and returns the service ports that want
   * an address about which something changed.
   */
  settle(endpoints: EndpointMap): ReadonlySet<ServicePortKey> {
    if (this.#newlyWanted.size > 0) for (const [key, list] of endpoints) this.#learn(key, list)
    const again = new Set<ServicePortKey>()
    for (const ip of this.#touched) for (const key of this.#wanted.get(ip)) again.add(key)
    this.#newlyWanted.clear()
    this.#touched.clear()
    return again
  }

  #learn(key: ServicePortKey, endpoints: readonly Endpoint[]): void {
    for (const { ip } of endpoints) if (this.#newlyWanted.has(ip)) this.#endpoints.add(ip, key)
  }

  /** Why this port may not have this frontend; `undefined`: it may. */
  refusal(
    port: Pick<PortForwarding, 'service' | 'protocol'>,
    frontend: Frontend,
    context: { readonly endpoints: EndpointMap; readonly rules: GuardRules },
  ): Refusal | undefined {
    const { kind, ip } = frontend
    if (ip === undefined || kind === 'ClusterIP') return undefined
    const byRule = kind === 'ExternalIP' ? refusedByRule(ip, context.rules) : undefined
    if (byRule !== undefined) return { reason: byRule, owner: undefined }
    const clusterOwner = firstOf(this.#clusterIps.get(ip), (key) => !belongsTo(key, port.service))
    if (clusterOwner !== undefined) return { reason: 'cluster-ip', owner: clusterOwner }
    const endpointOwner = firstOf(
      this.#endpoints.get(ip),
      (key) =>
        !belongsTo(key, port.service) &&
        protocolOf(key) === port.protocol &&
        (context.endpoints.get(key) ?? []).some((endpoint) => isAt(endpoint, frontend)),
    )
    return endpointOwner === undefined ? undefined : { reason: 'endpoint', owner: endpointOwner }
  }
}

function wantedBy(port: ServicePort | undefined): ReadonlySet<Ip> {
  return port === undefined ? NO_IPS : new Set([...port.externalIps, ...port.loadBalancerIps])
}

function refusedByRule(ip: Ip, rules: GuardRules): ConflictReason | undefined {
  const allowed = rules.externalIpCidrs
  if (allowed !== undefined) return allowed.some((cidr) => cidrContains(cidr, ip)) ? undefined : 'not-allowed'
  return ip === rules.primaryIp ? 'node-address' : undefined
}

/**
 * Address *and* port: pods in the host's network share their address with their node, whose addresses are legitimate
 * external IPs.
 */
function isAt(endpoint: Endpoint, { ip, port, lastPort }: Frontend): boolean {
  return endpoint.ip === ip && endpoint.port >= port && endpoint.port <= (lastPort ?? port)
}

/** The first by text: which of several is named must not depend on who came first. */
function firstOf(
  keys: readonly ServicePortKey[],
  isMeant: (key: ServicePortKey) => boolean,
): ServicePortKey | undefined {
  return keys.filter(isMeant).sort()[0]
}

function belongsTo(key: ServicePortKey, service: ServiceKey): boolean {
  return key.startsWith(`${service}:`)
}

function protocolOf(key: ServicePortKey): Protocol {
  return key.slice(key.lastIndexOf('/') + 1) as Protocol
}
