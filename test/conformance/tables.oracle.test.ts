/** The shared tables about endpoint selection, slices, Services, health counts and tracked flows. */
import { FlowJudge } from '../../src/backends/stale-flows.ts'
import { nodePortScope } from '../../src/forwarding/node-port-addresses.ts'
import { selectEndpoints, usedPools } from '../../src/forwarding/select-endpoints.ts'
import { ClusterStore } from '../../src/model/cluster-store.ts'
import type { FamilySnapshot } from '../../src/model/cluster-snapshot.ts'
import type { Endpoint } from '../../src/model/endpoint.ts'
import { countLocalReady } from '../../src/model/local-ready.ts'
import type { ServicePort, ServicePortKey } from '../../src/model/service-port.ts'
import { FAMILIES, type Family, hostPort } from '../../src/net/ip.ts'
import type { Protocol } from '../../src/net/protocol.ts'
import type { Flow } from '../../src/netfilter/conntrack/flow.ts'
import { loadSharedJson, type SharedChange, sharedConformancePath } from '../support/conformance-cases.ts'
import { aCidr, anIp, DecidedCase } from '../support/decided-case.ts'
import { skipTest } from '../support/skip-reasons.ts'
import { addressPlan, nodeOf } from './address-plan.ts'
import type { ApiObject } from './conformance-case.ts'

interface RecordedEndpoint {
  readonly endpoint: string
  readonly local: boolean
  readonly ready: boolean
  readonly serving: boolean
  readonly terminating: boolean
  readonly zoneHints?: readonly string[]
  readonly nodeHints?: readonly string[]
}

interface RecordedList {
  readonly service: string
  readonly port: string
  readonly protocol: Protocol
  readonly endpoints: readonly RecordedEndpoint[]
}

interface Named {
  readonly name: string
}

/** `test.each` over those rows of a table that `isMeant` takes; a table without any fails. */
function eachCase<T extends Named>(
  file: string,
  table: string,
  check: (one: T) => void,
  isMeant: (one: T) => boolean = () => true,
): void {
  const rows: readonly T[] = loadSharedJson(file)?.[table] as readonly T[]
  const meant = rows.filter(isMeant)
  test(`${file} has the table ${table}`, () => {
    expect(meant.length).toBeGreaterThan(0)
  })
  test.each(meant.map((one) => [one.name, one] as const))(`${table}: %s`, (_name, one) => check(one))
}

function readEndpoint(recorded: RecordedEndpoint, nodeName: string): Endpoint {
  const cut = recorded.endpoint.lastIndexOf(':')
  return {
    ip: anIp(recorded.endpoint.slice(0, cut).replace(/[[\]]/g, '')),
    port: Number(recorded.endpoint.slice(cut + 1)),
    nodeName: recorded.local ? nodeName : 'elsewhere',
    ready: recorded.ready,
    serving: recorded.serving,
    terminating: recorded.terminating,
    zoneHints: recorded.zoneHints ?? [],
    nodeHints: recorded.nodeHints ?? [],
    weight: 100,
  }
}

function textsOf(endpoints: readonly Endpoint[]): string[] {
  return endpoints.map(({ ip, port }) => hostPort(ip, port)).sort()
}

/** Everything the family holds, in the form of the tables; both sides sorted. */
function listsOf(family: FamilySnapshot, nodeName: string): unknown[] {
  return sortedLists(
    [...family.endpoints].map(([key, endpoints]) => ({
      key,
      endpoints: endpoints.map((one) => ({
        endpoint: hostPort(one.ip, one.port),
        local: one.nodeName !== undefined && one.nodeName === nodeName,
        ready: one.ready,
        serving: one.serving,
        terminating: one.terminating,
      })),
    })),
  )
}

function wantedLists(recorded: readonly RecordedList[] | null): unknown[] {
  const lists = (recorded ?? []).filter(({ endpoints }) => endpoints.length > 0)
  return sortedLists(
    lists.map(({ service, port, protocol, endpoints }) => ({
      key: `${service}:${port}/${protocol}`,
      endpoints,
    })),
  )
}

function sortedLists(
  lists: readonly { readonly key: string; readonly endpoints: readonly { endpoint: string }[] }[],
) {
  return lists
    .map(({ key, endpoints }) => ({
      key,
      endpoints: [...endpoints].sort((a, b) => (a.endpoint < b.endpoint ? -1 : 1)),
    }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
}

function storeOf(nodeName: string, slices: readonly (ApiObject | null)[]): ClusterStore {
  const store = new ClusterStore({ nodeName })
  applyAll(store, 'changed', slices)
  return store
}

function applyAll(
  store: ClusterStore,
  type: 'changed' | 'deleted',
  slices: readonly (ApiObject | null)[],
): void {
  for (const object of slices) if (object !== null) store.apply({ type, resource: 'EndpointSlice', object })
}

const GATE_OFF = 'PreferSameNode falls back to same-zone when feature gate disabled'

function endpointTables(): void {
  eachCase<{
    name: string
    nodeName: string
    zone: string | null
    preferSameTrafficDistributionGate: boolean
    serviceInfo: {
      internalTrafficPolicy: 'Cluster' | 'Local'
      externalTrafficPolicy: 'Cluster' | 'Local'
      nodePort: number
      usesClusterEndpoints: boolean
      usesLocalEndpoints: boolean
    }
    endpoints: readonly RecordedEndpoint[]
    clusterEndpoints: readonly string[] | null
    localEndpoints: readonly string[] | null
    hasAnyEndpoints: boolean
  }>(
    'topology.json',
    'cases',
    (one) => {
      const { internalTrafficPolicy, externalTrafficPolicy, nodePort } = one.serviceInfo
      const place = { name: one.nodeName === '' ? 'this-node' : one.nodeName, zone: one.zone ?? '' }
      const servicePort = {
        internalTrafficPolicy,
        externalTrafficPolicy,
        nodePort: nodePort === 0 ? undefined : nodePort,
        externalIps: [],
        loadBalancerIps: [],
      }
      const endpoints = one.endpoints.map((recorded) => readEndpoint(recorded, place.name))
      const selected = selectEndpoints(servicePort, endpoints, place)
      expect(usedPools(servicePort)).toEqual({
        cluster: one.serviceInfo.usesClusterEndpoints,
        local: one.serviceInfo.usesLocalEndpoints,
      })
      expect(textsOf(selected.cluster)).toEqual([...(one.clusterEndpoints ?? [])].sort())
      expect(textsOf(selected.local)).toEqual([...(one.localEndpoints ?? [])].sort())
      expect(selected.hasAny).toBe(one.hasAnyEndpoints)
    },
    ({ name }) => name !== GATE_OFF,
  )
  skipTest(`cases: ${GATE_OFF}`, 'the gate is locked on since Kubernetes 1.36')

  eachCase<{
    name: string
    nodeName: string
    service: string
    endpointSlices: ApiObject[]
    expectedEndpoints: RecordedList[]
  }>('changes.json', 'endpointsFromSlices', (one) => {
    const { endpoints } = storeOf(one.nodeName, one.endpointSlices).snapshot().families.IPv4
    const ofService = [...endpoints].filter(([key]) => key.startsWith(`${one.service}:`))
    const shown = listsOf({ endpoints: new Map(ofService) } as unknown as FamilySnapshot, one.nodeName)
    expect(shown).toEqual(wantedLists(one.expectedEndpoints))
  })

  eachCase<{
    name: string
    nodeName: string
    starting: ApiObject[]
    slice: ApiObject
    remove: boolean
    expectedChanged: boolean
    expectedEndpoints: RecordedList[] | null
  }>('changes.json', 'sliceUpdate', (one) => {
    const store = storeOf(one.nodeName, one.starting)
    const before = store.snapshot()
    applyAll(store, one.remove ? 'deleted' : 'changed', [one.slice])
    const after = store.snapshot()
    expect(after !== before).toBe(one.expectedChanged)
    if (one.expectedEndpoints !== null)
      expect(listsOf(after.families.IPv4, one.nodeName)).toEqual(wantedLists(one.expectedEndpoints))
  })

  eachCase<{
    name: string
    nodeName: string
    previous: (ApiObject | null)[]
    current: (ApiObject | null)[]
    expectedPreviousEndpoints: RecordedList[]
    expectedEndpoints: RecordedList[]
    expectedLocalReadyEndpoints: Record<string, number>
  }>('changes.json', 'updateEndpointsMap', (one) => {
    const store = storeOf(one.nodeName, one.previous)
    expect(listsOf(store.snapshot().families.IPv4, one.nodeName)).toEqual(
      wantedLists(one.expectedPreviousEndpoints),
    )
    for (const [i, before] of one.previous.entries())
      if (one.current[i] === null) applyAll(store, 'deleted', [before])
    applyAll(store, 'changed', one.current)
    const family = store.snapshot().families.IPv4
    expect(listsOf(family, one.nodeName)).toEqual(wantedLists(one.expectedEndpoints))
    expect(Object.fromEntries(countLocalReady(family, one.nodeName, family.endpoints.keys()))).toEqual(
      one.expectedLocalReadyEndpoints,
    )
  })

  eachCase<{
    name: string
    nodeName: string
    steps: {
      endpoints: RecordedList[]
      localReadyEndpoints: Record<string, number>
      changes: SharedChange[]
    }[]
  }>('changes.json', 'endpointSliceSequences', (one) => {
    const store = new ClusterStore({ nodeName: one.nodeName })
    for (const step of one.steps) {
      follow(store, step.changes)
      const family = store.snapshot().families.IPv4
      expect(listsOf(family, one.nodeName)).toEqual(wantedLists(step.endpoints))
      expect(Object.fromEntries(countLocalReady(family, one.nodeName, family.endpoints.keys()))).toEqual(
        step.localReadyEndpoints,
      )
    }
  })
}

function follow(store: ClusterStore, changes: readonly SharedChange[]): void {
  for (const { op, kind, object, namespace, name } of changes) {
    const resource = kind === 'Service' ? 'Service' : 'EndpointSlice'
    const gone = object ?? { metadata: { namespace, name } }
    store.apply(
      op === 'delete' ? { type: 'deleted', resource, object: gone } : { type: 'changed', resource, object },
    )
  }
}

interface RecordedPort {
  readonly service: string
  readonly port: string
  readonly protocol: string
  readonly [field: string]: unknown
}

function portText(port: ServicePort): RecordedPort {
  return {
    service: port.service,
    port: port.key.slice(port.service.length + 1, port.key.lastIndexOf('/')),
    protocol: port.protocol,
    clusterIP: port.clusterIp,
    servicePort: port.port,
    nodePort: port.nodePort ?? 0,
    externalIPs: port.externalIps,
    loadBalancerVIPs: port.loadBalancerIps,
    loadBalancerSourceRanges: port.sourceRanges ?? [],
    internalPolicyLocal: port.internalTrafficPolicy === 'Local',
    externalPolicyLocal: port.externalTrafficPolicy === 'Local',
    healthCheckNodePort: port.healthCheckNodePort ?? 0,
    sessionAffinity: port.affinitySeconds === undefined ? '' : 'ClientIP',
    stickyMaxAgeSeconds: port.affinitySeconds ?? 0,
  }
}

function sortedPorts(ports: readonly RecordedPort[]): RecordedPort[] {
  const name = (one: RecordedPort) => `${one.service}:${one.port}/${one.protocol}`
  return [...ports].sort((a, b) => (name(a) < name(b) ? -1 : 1))
}

function serviceTables(): void {
  eachCase<{ name: string; ipFamily: Family; service: ApiObject | null; expectedPorts: RecordedPort[] }>(
    'changes.json',
    'serviceToPorts',
    (one) => {
      const store = new ClusterStore({ nodeName: 'n' })
      if (one.service !== null) store.apply({ type: 'changed', resource: 'Service', object: one.service })
      const ports = [...store.snapshot().families[one.ipFamily].servicePorts.values()]
      expect(sortedPorts(ports.map(portText))).toEqual(sortedPorts(one.expectedPorts))
    },
  )

  eachCase<{ name: string; steps: { servicePorts: RecordedPort[]; changes: SharedChange[] }[] }>(
    'changes.json',
    'serviceSequences',
    (one) => {
      const store = new ClusterStore({ nodeName: 'n' })
      for (const step of one.steps) {
        follow(store, step.changes)
        const ports = [...store.snapshot().families.IPv4.servicePorts.values()]
        expect(sortedPorts(ports.map(portText))).toEqual(sortedPorts(step.servicePorts))
      }
    },
  )

  eachCase<{ name: string; service: ApiObject; expectedSkip: boolean }>(
    'changes.json',
    'skipService',
    (one) => {
      const store = new ClusterStore({ nodeName: 'n' })
      const spec = { ...(one.service['spec'] as object), ports: [{ port: 80 }] }
      store.apply({ type: 'changed', resource: 'Service', object: { ...one.service, spec } })
      expect(store.snapshot().families.IPv4.servicePorts.size === 0).toBe(one.expectedSkip)
    },
  )

  eachCase<{ name: string; service: ApiObject; ipFamily: Family; expectedClusterIP: string }>(
    'changes.json',
    'clusterIPByFamily',
    (one) => {
      // The recorded objects have neither name nor ports, and some of them no clusterIP, as no API server delivers them.
      const given = one.service['spec'] as { clusterIP?: string; clusterIPs?: string[] }
      const spec = { clusterIP: given.clusterIPs?.[0], ...given, ports: [{ port: 80 }] }
      const store = new ClusterStore({ nodeName: 'n' })
      store.apply({
        type: 'changed',
        resource: 'Service',
        object: { metadata: { namespace: 'a', name: 'b' }, spec },
      })
      const port = store.snapshot().families[one.ipFamily].servicePorts.get('a/b:/TCP' as ServicePortKey)
      expect(port?.clusterIp ?? '').toBe(one.expectedClusterIP)
    },
  )

  eachCase<{
    name: string
    nodePortAddresses: string[]
    interfaceAddresses: { address: string }[]
    expected: Record<Family, { ips: string[]; matchAll: boolean }>
  }>('changes.json', 'nodePortAddresses', (one) => {
    const localIps = one.interfaceAddresses.map(({ address }) => anIp(address.split('/')[0] ?? '')).sort()
    for (const family of FAMILIES) {
      const scope = nodePortScope(
        one.nodePortAddresses.map(aCidr),
        { localIps, primaryIps: {} },
        { family, localhostNodePorts: true },
      )
      const { ips, matchAll } = one.expected[family]
      // Loopback is never one of the addresses here: `localhostNodePorts` speaks of it.
      const listed = ips.filter((ip) => ip !== '::1' && !ip.startsWith('127.')).sort()
      expect(scope.nodePorts).toEqual(matchAll ? { scope: 'all' } : { scope: 'listed', ips: listed })
    }
  })

  eachCase<{ name: string; nodePortAddresses: string[]; expected: boolean }>(
    'changes.json',
    'nodePortAddressesContainLoopback',
    (one) => {
      const node = { localIps: [], primaryIps: {} }
      const scope = nodePortScope(one.nodePortAddresses.map(aCidr), node, {
        family: 'IPv4',
        localhostNodePorts: true,
      })
      expect(scope.localhostNodePorts).toBe(one.expected)
    },
  )
}

interface ConntrackCase {
  readonly name: string
  readonly ipFamily: Family
  readonly nodeName: string
  readonly services: readonly ApiObject[]
  readonly endpointSlices: readonly ApiObject[]
  readonly entries: readonly {
    readonly kept: boolean
    readonly orig: { readonly dstIP?: string; readonly dstPort?: number; readonly protocol: Protocol }
    readonly reply: { readonly srcIP?: string; readonly srcPort?: number }
  }[]
}

/** SCTP is looked after as UDP is; kube-proxy leaves it alone. */
function isOurs(entry: ConntrackCase['entries'][number]): boolean {
  return entry.orig.protocol !== 'SCTP'
}

function flowOf(entry: ConntrackCase['entries'][number], nodeIp: string): Flow {
  const destination = anIp(entry.orig.dstIP ?? nodeIp)
  const destinationPort = entry.orig.dstPort ?? 0
  return {
    family: 'IPv4',
    protocol: entry.orig.protocol,
    source: anIp('203.0.113.2'),
    sourcePort: 5000,
    destination,
    destinationPort,
    replySource: anIp(entry.reply.srcIP ?? destination),
    // An entry that was never translated answers from where it was sent to.
    replySourcePort: entry.reply.srcPort ?? destinationPort,
    unreplied: false,
  }
}

function flowAndHealthTables(): void {
  eachCase<ConntrackCase>('conntrack.json', 'cases', (one) => {
    const plan = addressPlan('IPv4')
    const running = new DecidedCase(nodeOf(plan, { name: one.nodeName }))
    const forwarding = running.follow({ services: one.services, endpointSlices: one.endpointSlices })
    const judge = new FlowJudge(forwarding)
    for (const entry of one.entries.filter(isOurs)) {
      const stale = judge.staleFlows([flowOf(entry, plan.node)])
      expect({ entry, kept: stale.length === 0 }).toEqual({ entry, kept: entry.kept })
    }
  })

  eachCase<{
    name: string
    nodeName?: string
    steps?: { changes: SharedChange[]; expectedServicesWithLocalReadyEndpoints: Record<string, number> }[]
  }>(
    'healthcheck.json',
    'cases',
    (one) => {
      // The cases without steps are about the HTTP servers, and judged with them.
      const store = new ClusterStore({ nodeName: one.nodeName ?? '' })
      for (const step of one.steps ?? []) {
        follow(store, step.changes)
        const family = store.snapshot().families.IPv4
        expect(
          Object.fromEntries(countLocalReady(family, one.nodeName ?? '', family.servicePorts.keys())),
        ).toEqual(step.expectedServicesWithLocalReadyEndpoints)
      }
    },
    ({ steps }) => steps !== undefined,
  )
}

if (sharedConformancePath === undefined)
  skipTest('shared tables', '../shared/conformance is not beside this checkout')
else {
  describe('shared tables of endpoints', endpointTables)
  describe('shared tables of Services and node addresses', serviceTables)
  describe('shared tables of tracked flows and health', flowAndHealthTables)
}
