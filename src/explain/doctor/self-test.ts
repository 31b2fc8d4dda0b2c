/**
 * The self-test: the same connection straight to an endpoint on another node and through the Service, and what their
 * difference says. Here is what is tried and how it is judged; `daemon/doctor/` makes the connections. Pure.
 */
import { type Family, hostPort, type Ip } from '../../net/ip.ts'
import type { Port, Protocol } from '../../net/protocol.ts'
import type { ExplainedPort, ExplainedRow, Explanation } from '../explanation.ts'
import { parseSubject } from '../subject.ts'
import { type Judgement, warning } from './node-facts.ts'

export interface Place {
  readonly ip: Ip
  readonly port: Port
}

export interface RemoteEndpoint extends Place {
  readonly node: string
}

/** A port of the Service, with endpoints that only the pod network leads to. */
export interface Target {
  readonly servicePort: string
  readonly family: Family
  readonly protocol: Protocol
  readonly service: Place
  readonly remote: readonly RemoteEndpoint[]
  /** How many endpoints a connection may get, those of this node included. */
  readonly pool: number
}

/** How far a connection got: each step was taken after the one before it had succeeded. */
export type Outcome =
  /** TCP: large packets arrived. UDP: an answer came. */
  | 'passed'
  /** TCP: the program ended the connection before large packets could be sent. */
  | 'closed'
  /** There is a host, and nobody listens or a rule refuses. */
  | 'refused'
  /** No way leads there, or nothing came back. */
  | 'silent'
  /** TCP: connected, but a packet with two bytes in it was not acknowledged. */
  | 'mute'
  /** TCP: small packets arrive, large ones do not. */
  | 'stalled'

export interface Attempt {
  readonly outcome: Outcome
  /** In words of the system where there are any, as in `EHOSTUNREACH`. */
  readonly detail: string
  /** TCP: how long the handshake took; from a second on, the first packet was lost and sent again. */
  readonly connectMs: number
  /** What connection tracking knows of it; `undefined`: nothing. */
  readonly flow: { readonly endpoint: string; readonly seenAs: string } | undefined
}

export interface Tried {
  readonly target: Target
  readonly direct: readonly { readonly endpoint: RemoteEndpoint; readonly attempt: Attempt }[]
  /** Empty when no endpoint could be reached directly: then there is nothing to compare with. */
  readonly through: readonly Attempt[]
}

/** Endpoints on other nodes to connect to; more would say the same. */
const MOST_REMOTE = 3

/** What there is to try, and why some ports are not. */
export function selfTestPlan({ node, ports, nothing }: Explanation): {
  readonly targets: readonly Target[]
  readonly findings: readonly Judgement[]
} {
  const chosen = ports.map((port) => ({ port, target: targetOf(port, node) }))
  const why = ports.length === 0 ? nothing : []
  return {
    targets: chosen.flatMap(({ target }) => (typeof target === 'string' ? [] : [target])),
    findings: [
      ...why.map((reason) => warning(`nothing to connect to: ${reason}`, 'name a Service that exists')),
      ...chosen.flatMap(({ port, target }) =>
        typeof target === 'string'
          ? [
              warning(
                `${titleOf(port)} was not tried: ${target}`,
                'name another Service, or another of its ports',
              ),
            ]
          : [],
      ),
    ],
  }
}

function targetOf(port: ExplainedPort, node: string): Target | string {
  const { servicePort, family, protocol, frontends, endpoints } = port
  if (protocol === 'SCTP') return 'the self-test does not speak SCTP'
  const frontend = frontends.find(({ kind }) => kind === 'ClusterIP')
  const service = placeOf(frontend?.address.replace(/\/\w+$/, '') ?? '')
  if (frontend === undefined || service === undefined) return 'it has no ClusterIP'
  if (!frontend.routes.node.startsWith('cluster'))
    return `connections from this node do not go to other nodes (${frontend.routes.node})`
  const pool = endpoints.filter(({ clusterPool }) => clusterPool.startsWith('in'))
  const remote = pool.flatMap((row) => remoteOf(row, node))
  if (remote.length === 0) return 'none of its endpoints in use is known to be on another node'
  return {
    ...{ servicePort, family, protocol, service, pool: pool.length },
    remote: remote.slice(0, MOST_REMOTE),
  }
}

function remoteOf({ address, node: its }: ExplainedRow, node: string): readonly RemoteEndpoint[] {
  const place = placeOf(address)
  return place === undefined || its === '' || its === node ? [] : [{ ...place, node: its }]
}

function placeOf(address: string): Place | undefined {
  const subject = parseSubject(address)
  return subject?.by === 'address' ? { ip: subject.ip, port: subject.port } : undefined
}

export function titleOf({ servicePort, family }: Pick<Target, 'servicePort' | 'family'>): string {
  return `${servicePort} (${family})`
}

/** Whether the endpoint can be reached at all, so that it can be compared with. */
export function arrived({ outcome }: Attempt): boolean {
  return outcome === 'passed' || outcome === 'closed'
}

/** Where the Service sent this connection. */
export function isAt({ flow }: Attempt, place: Place): boolean {
  return flow?.endpoint === hostPort(place.ip, place.port)
}

/** Its first packet was lost. */
export function isLate({ connectMs }: Attempt): boolean {
  return connectMs >= 1_000
}
