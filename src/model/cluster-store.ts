/**
 * Turns the events of the watch stage into snapshots of the cluster.
 *
 * Contract: a snapshot shares with the one before it everything that no event touched, and everything that was touched
 * but says the same; when nothing differs it is the previous snapshot itself. The cost of `snapshot()` follows the
 * Services that changed since the last call, not the cluster. Events may be duplicated, delayed or grouped in any way;
 * what counts is the last state of each object. Raw objects are not kept.
 *
 * A list replaces what is known only when it is complete (`listed`): a list that breaks off in the middle forgets
 * nothing, and the next one starts anew.
 */
import { keepIdentity, sameValue } from '../collections/same-value.ts'
import { ShardedMap } from '../collections/sharded-map.ts'
import { type Cidr, cidrFamily } from '../net/cidr.ts'
import { FAMILIES, type Family, type Ip } from '../net/ip.ts'
import type { ClusterSnapshot, FamilySnapshot } from './cluster-snapshot.ts'
import { type DecodedSlice, decodeEndpointSlice } from './decode-endpoint-slice.ts'
import { type DecodedNode, decodeNode } from './decode-node.ts'
import { decodeService } from './decode-service.ts'
import { type DecodedServiceCidr, decodeServiceCidr } from './decode-service-cidr.ts'
import type { Endpoint } from './endpoint.ts'
import { mergeSlices } from './merge-slices.ts'
import type { NodeView } from './node-view.ts'
import { identify, isRejected } from './refusals.ts'
import type { Rejected } from './rejected.ts'
import type { ResourceEvent, ResourceKind } from './resource-event.ts'
import type { ServiceKey, ServicePort, ServicePortKey } from './service-port.ts'

export interface ClusterStoreOptions {
  /** The Node that this proxy runs on. */
  readonly nodeName: string
  /** Addresses that the operator gave; they take the place of the Node's own, family by family. */
  readonly primaryIps?: Readonly<Partial<Record<Family, Ip>>>
}

/** Names are interned up to this many; then the table starts anew, so that churn cannot make it grow for ever. */
const MOST_INTERNED = 65_536

const EMPTY_FAMILY: FamilySnapshot = {
  servicePorts: ShardedMap.empty(),
  endpoints: ShardedMap.empty(),
  serviceCidrs: [],
}

export class ClusterStore {
  readonly #options: ClusterStoreOptions
  readonly #services = new Map<ServiceKey, readonly ServicePort[]>()
  readonly #slicesByService = new Map<ServiceKey, Map<string, DecodedSlice>>()
  readonly #serviceBySlice = new Map<string, ServiceKey>()
  readonly #endpointKeys = new Map<ServiceKey, readonly ServicePortKey[]>()
  readonly #serviceCidrs = new Map<string, readonly Cidr[]>()
  readonly #rejected = new Map<ResourceKind, Map<string, readonly Rejected[]>>()
  /** Names known per kind: for a Service `namespace/name`, for a Node its name. */
  readonly #known = new Map<ResourceKind, Set<string>>()
  /** Names seen in the list that is under way. */
  readonly #listing = new Map<ResourceKind, Set<string>>()
  readonly #inSync = new Set<ResourceKind>()
  readonly #interned = new Map<string, string>()
  readonly #staleServices = new Map<ServiceKey, readonly ServicePort[]>()
  readonly #staleEndpoints = new Set<ServiceKey>()
  #serviceCidrsChanged = false
  #snapshot: ClusterSnapshot
  #node: NodeView

  constructor(options: ClusterStoreOptions) {
    this.#options = options
    const primaryIps = options.primaryIps ?? {}
    const { nodeName: name } = options
    this.#node = { name, zone: '', primaryIps, podCidrs: [], localIps: [], eligible: false }
    this.#snapshot = { revision: 0, families: { IPv4: EMPTY_FAMILY, IPv6: EMPTY_FAMILY }, node: this.#node }
  }

  apply(event: ResourceEvent): void {
    const { resource } = event
    switch (event.type) {
      case 'page':
        if (event.first) this.#listing.set(resource, new Set())
        for (const object of event.objects) this.#upsert(resource, object)
        break
      case 'listed':
        this.#finishList(resource)
        break
      case 'changed':
        this.#upsert(resource, event.object)
        break
      case 'deleted':
        this.#delete(resource, event.object)
        break
    }
  }

  /** All addresses of the node's interfaces, in any order. */
  setLocalIps(ips: readonly Ip[]): void {
    this.#setNode({ ...this.#node, localIps: [...new Set(ips)].sort() })
  }

  /** The first complete list of this kind has arrived. Once true it stays true. */
  inSync(kind: ResourceKind): boolean {
    return this.#inSync.has(kind)
  }

  /** Everything that is refused of the objects as they are now; sorted by kind and object. */
  rejections(): readonly Rejected[] {
    return [...this.#rejected]
      .flatMap(([, byName]) => [...byName.values()].flat())
      .sort((a, b) => compareText(`${a.kind} ${a.object}`, `${b.kind} ${b.object}`))
  }

  snapshot(): ClusterSnapshot {
    const before = this.#snapshot
    const families = this.#nextFamilies(before.families)
    if (families !== before.families || this.#node !== before.node)
      this.#snapshot = { revision: before.revision + 1, families, node: this.#node }
    this.#staleServices.clear()
    this.#staleEndpoints.clear()
    this.#serviceCidrsChanged = false
    return this.#snapshot
  }

  #upsert(kind: ResourceKind, object: unknown): void {
    const name = this.#take(kind, object)
    if (name === undefined) return
    this.#knownOf(kind).add(name)
    this.#listing.get(kind)?.add(name)
  }

  #delete(kind: ResourceKind, object: unknown): void {
    const identity = identify(kind, object)
    if (isRejected(identity)) return
    this.#forget(kind, identity.namespace === '' ? identity.name : `${identity.namespace}/${identity.name}`)
  }

  #finishList(kind: ResourceKind): void {
    this.#inSync.add(kind)
    const seen = this.#listing.get(kind)
    // Without pages this is the end of no list of ours, and nothing may be forgotten because of it.
    if (seen === undefined) return
    this.#listing.delete(kind)
    for (const name of [...this.#knownOf(kind)]) if (!seen.has(name)) this.#forget(kind, name)
  }

  /** The object's name, or `undefined` when it has none or is not our concern. */
  #take(kind: ResourceKind, object: unknown): string | undefined {
    switch (kind) {
      case 'Service': {
        const decoded = decodeService(object)
        return this.#taken(kind, decoded, ({ service, ports }) => this.#setService(service, ports))
      }
      case 'EndpointSlice': {
        const decoded = decodeEndpointSlice(object, (text) => this.#intern(text))
        return this.#taken(kind, decoded, (slice) => this.#setSlice(slice))
      }
      case 'Node':
        return this.#taken(kind, decodeNode(object), (node) => this.#setOwnNode(node))
      case 'ServiceCIDR':
        return this.#taken(kind, decodeServiceCidr(object), (cidr) => this.#setServiceCidr(cidr))
    }
  }

  #forget(kind: ResourceKind, name: string): void {
    this.#knownOf(kind).delete(name)
    this.#listing.get(kind)?.delete(name)
    this.#rejected.get(kind)?.delete(name)
    if (kind === 'Service') this.#setService(name as ServiceKey, [])
    else if (kind === 'EndpointSlice') this.#removeSlice(name)
    else if (kind === 'ServiceCIDR') {
      this.#serviceCidrs.delete(name)
      this.#serviceCidrsChanged = true
    }
    // A Node that goes takes nothing with it but our eligibility: its zone and addresses are still this machine's.
    else if (name === this.#options.nodeName) this.#setNode({ ...this.#node, eligible: false })
  }

  #setService(service: ServiceKey, ports: readonly ServicePort[]): string {
    const before = this.#services.get(service) ?? []
    const next = keepIdentity(before, ports)
    if (next === before) return service
    if (!this.#staleServices.has(service)) this.#staleServices.set(service, before)
    if (next.length === 0) this.#services.delete(service)
    else this.#services.set(service, next)
    return service
  }

  #setSlice(slice: DecodedSlice): string {
    const { service, slice: name } = slice
    const former = this.#serviceBySlice.get(name)
    if (former !== undefined && former !== service) this.#removeSlice(name)
    if (service === undefined) return name
    const slices = this.#slicesByService.get(service) ?? new Map<string, DecodedSlice>()
    if (sameValue(slices.get(name), slice)) return name
    this.#slicesByService.set(service, slices)
    slices.set(name, slice)
    this.#serviceBySlice.set(name, service)
    this.#staleEndpoints.add(service)
    return name
  }

  #setOwnNode(node: DecodedNode): string | undefined {
    if (node.name !== this.#options.nodeName) return undefined
    const primaryIps = { ...node.view.primaryIps, ...this.#options.primaryIps }
    this.#setNode({ ...this.#node, ...node.view, primaryIps })
    return node.name
  }

  #setServiceCidr({ name, cidrs }: DecodedServiceCidr): string {
    this.#serviceCidrs.set(name, cidrs)
    this.#serviceCidrsChanged = true
    return name
  }

  #removeSlice(name: string): void {
    const service = this.#serviceBySlice.get(name)
    if (service === undefined) return
    const slices = this.#slicesByService.get(service)
    slices?.delete(name)
    if (slices?.size === 0) this.#slicesByService.delete(service)
    this.#serviceBySlice.delete(name)
    this.#staleEndpoints.add(service)
  }

  #setNode(next: NodeView): void {
    this.#node = keepIdentity(this.#node, next)
  }

  #nextFamilies(before: ClusterSnapshot['families']): ClusterSnapshot['families'] {
    const portChanges = this.#portChanges(before)
    const endpointChanges = this.#endpointChanges(before)
    const next = (family: Family): FamilySnapshot => {
      const old = before[family]
      const servicePorts = old.servicePorts.with(portChanges[family])
      const endpoints = old.endpoints.with(endpointChanges[family])
      const serviceCidrs = this.#serviceCidrsChanged
        ? keepIdentity(old.serviceCidrs, this.#serviceCidrsOf(family))
        : old.serviceCidrs
      const same =
        servicePorts === old.servicePorts && endpoints === old.endpoints && serviceCidrs === old.serviceCidrs
      return same ? old : { servicePorts, endpoints, serviceCidrs }
    }
    const families = { IPv4: next('IPv4'), IPv6: next('IPv6') }
    return FAMILIES.every((family) => families[family] === before[family]) ? before : families
  }

  #portChanges(before: ClusterSnapshot['families']): Changed<ServicePort> {
    const changes: Changed<ServicePort> = { IPv4: new Map(), IPv6: new Map() }
    for (const [service, formerPorts] of this.#staleServices) {
      for (const port of formerPorts) changes[port.family].set(port.key, undefined)
      for (const port of this.#services.get(service) ?? [])
        changes[port.family].set(port.key, keepIdentity(before[port.family].servicePorts.get(port.key), port))
    }
    return changes
  }

  #endpointChanges(before: ClusterSnapshot['families']): Changed<readonly Endpoint[]> {
    const changes: Changed<readonly Endpoint[]> = { IPv4: new Map(), IPv6: new Map() }
    for (const service of this.#staleEndpoints) {
      const slices = this.#slicesByService.get(service)
      const merged = mergeSlices(service, slices?.values() ?? [])
      const keys = new Set<ServicePortKey>()
      for (const family of FAMILIES) {
        for (const key of this.#endpointKeys.get(service) ?? []) changes[family].set(key, undefined)
        for (const [key, endpoints] of merged[family]) {
          keys.add(key)
          changes[family].set(key, keepIdentity(before[family].endpoints.get(key), endpoints))
        }
      }
      if (keys.size === 0) this.#endpointKeys.delete(service)
      else this.#endpointKeys.set(service, [...keys])
    }
    return changes
  }

  #serviceCidrsOf(family: Family): readonly Cidr[] {
    const all = [...this.#serviceCidrs.values()].flat().filter((cidr) => cidrFamily(cidr) === family)
    return [...new Set(all)].sort()
  }

  /** Objects without a usable name cannot be told apart; the last one of a kind stands for all of them. */
  #taken<T extends { readonly rejected: readonly Rejected[] }>(
    kind: ResourceKind,
    decoded: T | Rejected,
    set: (decoded: T) => string | undefined,
  ): string | undefined {
    if (isRejected(decoded)) {
      this.#rejectedOf(kind).set('', [decoded])
      return undefined
    }
    const name = set(decoded)
    if (name === undefined) return undefined
    if (decoded.rejected.length === 0) this.#rejected.get(kind)?.delete(name)
    else this.#rejectedOf(kind).set(name, decoded.rejected)
    return name
  }

  #rejectedOf(kind: ResourceKind): Map<string, readonly Rejected[]> {
    const map = this.#rejected.get(kind) ?? new Map<string, readonly Rejected[]>()
    this.#rejected.set(kind, map)
    return map
  }

  #knownOf(kind: ResourceKind): Set<string> {
    const names = this.#known.get(kind) ?? new Set<string>()
    this.#known.set(kind, names)
    return names
  }

  #intern(text: string): string {
    const known = this.#interned.get(text)
    if (known !== undefined) return known
    if (this.#interned.size >= MOST_INTERNED) this.#interned.clear()
    this.#interned.set(text, text)
    return text
  }
}

type Changed<V> = Readonly<Record<Family, Map<ServicePortKey, V | undefined>>>

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
