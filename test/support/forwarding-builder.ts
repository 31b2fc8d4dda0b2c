/**
 * Forwarding values by hand, for tests of backends: what the forwarding stage would have decided.
 *
 * `aPort('ns/web').clusterIp('172.30.0.1').endpoints('10.0.0.1:80').build()`; every call returns a new builder.
 */
import { ShardedMap } from '../../src/collections/sharded-map.ts'
import type {
  Forwarding,
  Frontend,
  FrontendKind,
  NodeForwarding,
  Origin,
  PortForwarding,
  Route,
  Target,
} from '../../src/forwarding/forwarding.ts'
import type { ServiceKey, ServicePortKey } from '../../src/model/service-port.ts'
import type { Cidr } from '../../src/net/cidr.ts'
import { type Family, type Ip, hostPort, parseIp } from '../../src/net/ip.ts'
import type { Protocol } from '../../src/net/protocol.ts'

/** As API servers have it unless told otherwise. */
export const NODE_PORT_RANGE = { first: 30_000, last: 32_767 }

export const FORWARD: Route = { action: 'forward', pool: 'cluster', masquerade: false }
export const FORWARD_MASQUERADED: Route = { action: 'forward', pool: 'cluster', masquerade: true }
export const FORWARD_LOCAL: Route = { action: 'forward', pool: 'local', masquerade: false }
export const REJECT: Route = { action: 'reject' }
export const DROP: Route = { action: 'drop' }

/** One answer for every origin. */
export function everyOrigin(route: Route): Readonly<Record<Origin, Route>> {
  return { pod: route, node: route, external: route }
}

/** What the decision table says with a detector and policy Cluster. */
export const CLUSTER_IP_ROUTES = { pod: FORWARD, node: FORWARD_MASQUERADED, external: FORWARD_MASQUERADED }
/** External kinds with policy Local and a local endpoint. */
export const LOCAL_ROUTES = { pod: FORWARD, node: FORWARD_MASQUERADED, external: FORWARD_LOCAL }

export interface FrontendChoices {
  readonly routes?: Readonly<Record<Origin, Route>>
  readonly sourceRanges?: readonly string[]
  readonly lastPort?: number
}

export class PortBuilder {
  readonly #value: PortForwarding

  constructor(value: PortForwarding) {
    this.#value = value
  }

  build(): PortForwarding {
    return this.#value
  }

  with(changes: Partial<PortForwarding>): PortBuilder {
    return new PortBuilder({ ...this.#value, ...changes })
  }

  clusterIp(ip: string, port = 80, choices: FrontendChoices = {}): PortBuilder {
    return this.#frontend('ClusterIP', { ip, port, choices })
  }

  externalIp(ip: string, port = 80, choices: FrontendChoices = {}): PortBuilder {
    return this.#frontend('ExternalIP', { ip, port, choices })
  }

  loadBalancerIp(ip: string, port = 80, choices: FrontendChoices = {}): PortBuilder {
    return this.#frontend('LoadBalancerIP', { ip, port, choices })
  }

  nodePort(port: number, choices: FrontendChoices = {}): PortBuilder {
    return this.#frontend('NodePort', { ip: undefined, port, choices })
  }

  /** Endpoints as `ip:port` (`[v6]:port`); a trailing `*` says that it runs on this node, `=3` its weight. */
  endpoints(...texts: readonly string[]): PortBuilder {
    const cluster = texts.map(parseTarget).sort((a, b) => compareText(textOf(a), textOf(b)))
    const pools = { cluster, local: cluster.filter((target) => target.local) }
    return this.with({ pools, servingEndpoints: cluster.map(textOf) })
  }

  affinity(seconds: number): PortBuilder {
    return this.with({ affinitySeconds: seconds })
  }

  #frontend(
    kind: FrontendKind,
    at: { readonly ip: string | undefined; readonly port: number; readonly choices: FrontendChoices },
  ): PortBuilder {
    const usual = kind === 'ClusterIP' ? CLUSTER_IP_ROUTES : everyOrigin(FORWARD_MASQUERADED)
    const frontend: Frontend = {
      kind,
      ip: at.ip === undefined ? undefined : anIp(at.ip),
      port: at.port,
      lastPort: at.choices.lastPort,
      sourceRanges: at.choices.sourceRanges as readonly Cidr[] | undefined,
      routes: at.choices.routes ?? usual,
    }
    return this.with({ frontends: [...this.#value.frontends, frontend] })
  }
}

/** A service port without frontends and endpoints. `service`: `namespace/name`. */
export function aPort(
  service: string,
  choices: { readonly port?: string; readonly protocol?: Protocol; readonly family?: Family } = {},
): PortBuilder {
  const protocol = choices.protocol ?? 'TCP'
  return new PortBuilder({
    key: `${service}:${choices.port ?? ''}/${protocol}` as ServicePortKey,
    service: service as ServiceKey,
    family: choices.family ?? 'IPv4',
    protocol,
    frontends: [],
    pools: { cluster: [], local: [] },
    affinitySeconds: undefined,
    algorithm: undefined,
    ipvsScheduler: undefined,
    onEndpointRemoval: { action: 'default' },
    healthCheckNodePort: undefined,
    servingEndpoints: [],
  })
}

/** All of one family. Node defaults: NodePorts on every local address, no localhost, loopback only. */
export function aForwarding(
  ports: readonly (PortBuilder | PortForwarding)[],
  node: Partial<NodeForwarding> = {},
  family: Family = 'IPv4',
): Forwarding {
  const built = ports.map((port) => (port instanceof PortBuilder ? port.build() : port))
  return {
    family,
    ports: ShardedMap.of(built.map((port) => [port.key, port] as const)),
    node: {
      nodePorts: { scope: 'all' },
      localhostNodePorts: false,
      localIps: [anIp(family === 'IPv4' ? '127.0.0.1' : '::1')],
      primaryIp: undefined,
      serviceCidrs: [],
      ...node,
    },
  }
}

/** The same forwarding with these ports set, or removed where the value is `undefined`. */
export function withPorts(
  forwarding: Forwarding,
  changes: readonly (readonly [string, PortForwarding | undefined])[],
): Forwarding {
  const typed = changes.map(([key, port]) => [key as ServicePortKey, port] as const)
  return { ...forwarding, ports: forwarding.ports.with(typed) }
}

export function anIp(text: string): Ip {
  const ip = parseIp(text)
  if (ip === undefined) throw new Error(`Not an address: ${text}`)
  return ip
}

function parseTarget(text: string): Target {
  const match = /^\[?(.+?)\]?:(\d+)(\*?)(?:=(\d+))?$/.exec(text)
  if (match === null) throw new Error(`Not an endpoint: ${text}`)
  const [, ip = '', port = '', local = '', weight = '1'] = match
  return { ip: anIp(ip), port: Number(port), local: local === '*', weight: Number(weight) }
}

function textOf(target: Target): string {
  return hostPort(target.ip, target.port)
}

function compareText(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
