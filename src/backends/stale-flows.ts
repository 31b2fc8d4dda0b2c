/**
 * Which tracked connections contradict the decision, and what is to become of them (docs/forwarding.md §7).
 *
 * Connection tracking remembers where a flow was sent. For TCP that is right: the endpoint closes its connections. A
 * UDP or SCTP flow would be sent to an endpoint that is gone for as long as the client talks, and so would the first
 * packet of a TCP client that nobody has answered yet, however often it is sent again. The answer is computed from the
 * decision and the list of flows alone, so it is the same after a restart, and a flow that is fine is never touched.
 */
import type { Forwarding, Frontend, PortForwarding } from '../forwarding/forwarding.ts'
import { isNodePortAddress } from '../forwarding/route-packet.ts'
import { hostPort, type Ip } from '../net/ip.ts'
import type { Port, Protocol } from '../net/protocol.ts'
import type { Flow } from '../netfilter/conntrack/flow.ts'

/** No endpoint has it, so it can stand for all. */
const ANY_PORT = 0

export interface StaleFlow {
  readonly flow: Flow
  /** `delete`: forget it, the next packet is decided anew. `reset`: TCP; tell both sides, then forget it. */
  readonly action: 'delete' | 'reset'
  /** How long its endpoint must have been gone before this is done. */
  readonly afterSeconds: number
  readonly because: 'endpoint-gone' | 'frontend-gone' | 'never-translated'
}

/** Most frontends have no flow that is looked at; what their endpoints are is worked out when one has. */
class Owner {
  readonly port: PortForwarding
  readonly frontend: Frontend
  #serving: ReadonlySet<string> | undefined

  constructor(port: PortForwarding, frontend: Frontend) {
    this.port = port
    this.frontend = frontend
  }

  /** `ip:port` text of every endpoint that still serves. */
  get serving(): ReadonlySet<string> {
    return (this.#serving ??= servingOf(this.port))
  }
}

export class FlowJudge {
  readonly #current: Forwarding
  readonly #former: Forwarding | undefined

  /**
   * `former`: the decision by which flows were judged last, if there was one. It tells the flows of a frontend that is
   * gone from those of somebody else: an address alone does not say whose flow it is.
   */
  constructor(forwarding: Forwarding, former?: Forwarding) {
    this.#current = forwarding
    this.#former = former
  }

  /** Of the flows of this family, those that contradict the decision; in the order given. */
  staleFlows(flows: Iterable<Flow>): StaleFlow[] {
    const ours = [...flows].filter(({ family }) => family === this.#current.family)
    if (ours.length === 0) return []
    const current = new FrontendIndex(this.#current, ours)
    const former = this.#former === undefined ? undefined : new FrontendIndex(this.#former, ours)
    return ours.flatMap((flow) => judge(flow, current, former) ?? [])
  }
}

function judge(flow: Flow, current: FrontendIndex, before: FrontendIndex | undefined): StaleFlow | undefined {
  const owner = current.find(flow)
  if (owner !== undefined) return judgeOwned(flow, owner)
  if (isReversed(flow, current))
    return { flow, action: 'delete', afterSeconds: 0, because: 'never-translated' }
  const former = before?.find(flow)
  return former !== undefined && isServed(flow, former)
    ? dealtWith(flow, former.port, 'frontend-gone')
    : undefined
}

/**
 * A reply that was under way while its flow was deleted makes a new entry the other way round: it begins at a
 * frontend. The client's packets are then its replies and meet no rule, for as long as the client is busy.
 */
function isReversed(flow: Flow, current: FrontendIndex): boolean {
  if (flow.protocol === 'TCP' || isTranslated(flow)) return false
  const owner = current.find({ ...flow, destination: flow.source, destinationPort: flow.sourcePort })
  return owner?.frontend.ip !== undefined && owner.serving.size > 0
}

function judgeOwned(flow: Flow, owner: Owner): StaleFlow | undefined {
  if (isServed(flow, owner)) return undefined
  // Nobody has answered, so there is no connection to cut: the client's next try is decided anew.
  if (flow.protocol === 'TCP' && flow.unreplied)
    return {
      ...{ flow, action: 'delete', afterSeconds: 0 },
      because: isTranslated(flow) ? 'endpoint-gone' : 'never-translated',
    }
  if (isTranslated(flow)) return dealtWith(flow, owner.port, 'endpoint-gone')
  // Untranslated TCP to one of our frontends is some other program's business, such as a listener on the node.
  if (flow.protocol === 'TCP') return undefined
  // Made before there was an endpoint or a rule. While there is still none, a new flow would fare no better.
  return owner.serving.size === 0
    ? undefined
    : { flow, action: 'delete', afterSeconds: 0, because: 'never-translated' }
}

function isTranslated(flow: Flow): boolean {
  return flow.replySource !== flow.destination || flow.replySourcePort !== flow.destinationPort
}

/** The reply comes from an endpoint that still serves, ready or not, on whatever node. */
function isServed({ replySource, replySourcePort, destinationPort }: Flow, owner: Owner): boolean {
  if (owner.frontend.lastPort === undefined) return owner.serving.has(hostPort(replySource, replySourcePort))
  // Of a range the client's port is kept, and any port of the endpoint's address is as good as the one it is known by.
  return replySourcePort === destinationPort && owner.serving.has(hostPort(replySource, ANY_PORT))
}

/** The table of docs/forwarding.md §7: by the Service's wish and the protocol. */
function dealtWith(flow: Flow, port: PortForwarding, because: StaleFlow['because']): StaleFlow | undefined {
  const wish = port.onEndpointRemoval
  const action = flow.protocol === 'TCP' ? 'reset' : 'delete'
  switch (wish.action) {
    case 'default':
      return flow.protocol === 'TCP' ? undefined : { flow, action, afterSeconds: 0, because }
    case 'reset':
      return { flow, action, afterSeconds: 0, because }
    case 'drain':
      return wish.seconds === undefined ? undefined : { flow, action, afterSeconds: wish.seconds, because }
  }
}

/**
 * Finds the frontend that a flow was sent to, by its original destination. Of all frontends it knows those that one of
 * `flows` can be about: after a start every port is judged, and hardly any has a flow.
 */
class FrontendIndex {
  readonly #forwarding: Forwarding
  readonly #exact = new Map<string, Owner>()
  readonly #ranges: Owner[] = []

  constructor(forwarding: Forwarding, flows: readonly Flow[]) {
    this.#forwarding = forwarding
    const addresses = new Set(flows.flatMap(({ source, destination }) => [source, destination]))
    for (const port of forwarding.ports.values()) {
      for (const frontend of port.frontends) {
        if (frontend.ip !== undefined && !addresses.has(frontend.ip)) continue
        const owner = new Owner(port, frontend)
        if (frontend.lastPort === undefined)
          this.#exact.set(slot(port.protocol, frontend.ip, frontend.port), owner)
        else this.#ranges.push(owner)
      }
    }
  }

  find({ protocol, destination, destinationPort }: Flow): Owner | undefined {
    const exact = this.#exact.get(slot(protocol, destination, destinationPort))
    if (exact !== undefined) return exact
    const range = this.#ranges.find(
      ({ port, frontend }) =>
        port.protocol === protocol &&
        frontend.ip === destination &&
        destinationPort >= frontend.port &&
        destinationPort <= (frontend.lastPort ?? frontend.port),
    )
    if (range !== undefined) return range
    const nodePort = this.#exact.get(slot(protocol, undefined, destinationPort))
    return nodePort !== undefined && isNodePortAddress(this.#forwarding.node, destination)
      ? nodePort
      : undefined
  }
}

function servingOf(port: PortForwarding): ReadonlySet<string> {
  const serving = new Set(port.servingEndpoints)
  const hasRange = port.frontends.some(({ lastPort }) => lastPort !== undefined)
  if (hasRange)
    for (const text of port.servingEndpoints)
      serving.add(`${text.slice(0, text.lastIndexOf(':'))}:${ANY_PORT}`)
  return serving
}

function slot(protocol: Protocol, ip: Ip | undefined, port: Port): string {
  return `${protocol} ${ip ?? 'node'} ${port}`
}
