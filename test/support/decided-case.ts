/** The pure half of a proxy for a conformance case: API objects → model → forwarding, step by step. */
import { ForwardingDecider, type ForwardingOptions } from '../../src/forwarding/decide-forwarding.ts'
import type { Forwarding } from '../../src/forwarding/forwarding.ts'
import type { PodDetector } from '../../src/forwarding/route-packet.ts'
import { ClusterStore } from '../../src/model/cluster-store.ts'
import type { ResourceEvent, ResourceKind } from '../../src/model/resource-event.ts'
import { type Cidr, cidrFamily, parseCidr } from '../../src/net/cidr.ts'
import { type Ip, parseIp } from '../../src/net/ip.ts'
import type { ApiObject, ConformanceNode, ConformanceStep } from '../conformance/conformance-case.ts'
import { objectName } from './conformance-cases.ts'

export function anIp(text: string): Ip {
  const ip = parseIp(text)
  if (ip === undefined) throw new Error(`Cannot use "${text}" as an address in a test`)
  return ip
}

export function aCidr(text: string): Cidr {
  const cidr = parseCidr(text)
  if (cidr === undefined) throw new Error(`Cannot use "${text}" as a network in a test`)
  return cidr
}

/** The Node object that a case's node stands for. */
export function nodeObject(node: ConformanceNode): ApiObject {
  return {
    metadata: {
      name: node.name,
      labels: node.zone === undefined ? {} : { 'topology.kubernetes.io/zone': node.zone },
    },
    spec: {},
    status: { addresses: node.primaryIps.map((address) => ({ type: 'InternalIP', address })) },
  }
}

/** The events that lead from one state of a kind of objects to the next. */
export function eventsBetween(
  resource: ResourceKind,
  from: readonly ApiObject[],
  to: readonly ApiObject[],
): ResourceEvent[] {
  const before = new Map(from.map((object) => [objectName(object), object]))
  const after = new Map(to.map((object) => [objectName(object), object]))
  return [
    ...[...before].flatMap(([name, object]): ResourceEvent[] =>
      after.has(name) ? [] : [{ type: 'deleted', resource, object }],
    ),
    ...[...after].flatMap(([name, object]): ResourceEvent[] =>
      before.get(name) === object ? [] : [{ type: 'changed', resource, object }],
    ),
  ]
}

export function detectorOf(node: ConformanceNode): PodDetector | undefined {
  return node.detectorCidr === undefined ? undefined : { by: 'source', cidr: aCidr(node.detectorCidr) }
}

export function optionsOf(node: ConformanceNode): ForwardingOptions {
  return {
    family: node.family,
    hasDetector: node.detectorCidr !== undefined && cidrFamily(aCidr(node.detectorCidr)) === node.family,
    masqueradeAll: node.masqueradeAll,
    nodePortAddresses:
      typeof node.nodePortAddresses === 'string' ? node.nodePortAddresses : node.nodePortAddresses.map(aCidr),
    localhostNodePorts: node.localhostNodePorts,
    externalIpCidrs: undefined,
  }
}

/** Follows a case from step to step with one store and one decider, as a running proxy would. */
export class DecidedCase {
  readonly store: ClusterStore
  readonly decider: ForwardingDecider
  readonly #node: ConformanceNode
  #services: readonly ApiObject[] = []
  #slices: readonly ApiObject[] = []

  constructor(node: ConformanceNode, options: Partial<ForwardingOptions> = {}) {
    this.#node = node
    this.store = new ClusterStore({ nodeName: node.name })
    this.decider = new ForwardingDecider({ ...optionsOf(node), ...options })
    this.store.apply({ type: 'changed', resource: 'Node', object: nodeObject(node) })
    const cidrs = { metadata: { name: 'kubernetes' }, spec: { cidrs: node.serviceCidrs } }
    this.store.apply({ type: 'changed', resource: 'ServiceCIDR', object: cidrs })
    this.setLocalIps()
  }

  /** The node's addresses and loopback, and these as well. */
  setLocalIps(more: readonly string[] = []): void {
    this.store.setLocalIps([...this.#node.ips, '127.0.0.1', '::1', ...more].map(anIp))
  }

  /** Brings the cluster to the state of the step. */
  follow(step: Pick<ConformanceStep, 'services' | 'endpointSlices'>): Forwarding {
    const events = [
      ...eventsBetween('Service', this.#services, step.services),
      ...eventsBetween('EndpointSlice', this.#slices, step.endpointSlices),
    ]
    for (const event of events) this.store.apply(event)
    this.#services = step.services
    this.#slices = step.endpointSlices
    return this.decide()
  }

  decide(): Forwarding {
    return this.decider.decide(this.store.snapshot())
  }
}
