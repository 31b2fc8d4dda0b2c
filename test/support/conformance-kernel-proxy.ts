/** A whole proxy in process: API objects → model → forwarding → backend → kernel of a bed. */
import type { BackendOptions } from '../../src/backends/backend.ts'
import { ForwardingDecider } from '../../src/forwarding/decide-forwarding.ts'
import { ClusterStore } from '../../src/model/cluster-store.ts'
import type { ResourceKind } from '../../src/model/resource-event.ts'
import { parseCidr } from '../../src/net/cidr.ts'
import { parseIp } from '../../src/net/ip.ts'
import type { ConformanceNode } from '../conformance/conformance-case.ts'
import {
  BACKENDS,
  type BackendKey,
  type BackendUnderTest,
  SyncedBackend,
} from './conformance-kernel-backends.ts'
import type { ProxyWithNeeds } from './conformance-kernel-tests.ts'
import type { RunningProxy } from './conformance-kernel.ts'
import type { NodeBed } from './node-bed.ts'

const MASQUERADE_MARK = 0x4000

export const PROXIES = Object.fromEntries(
  Object.entries(BACKENDS).map(([key, backend]) => [key, proxyOf(backend)]),
) as Readonly<Record<BackendKey, ProxyWithNeeds>>

function proxyOf(backend: BackendUnderTest): ProxyWithNeeds {
  const { title, mode, needs } = backend
  const running = new WeakMap<NodeBed, { readonly options: string; readonly synced: SyncedBackend }>()
  const backendFor = async (bed: NodeBed, options: BackendOptions): Promise<SyncedBackend> => {
    const known = running.get(bed)
    if (backend.isReused && known?.options === JSON.stringify(options)) return known.synced
    await backend.reset(bed)
    const synced = new SyncedBackend(await backend.create(bed, options))
    running.set(bed, { options: JSON.stringify(options), synced })
    return synced
  }
  const start = async (bed: NodeBed, node: ConformanceNode): Promise<RunningProxy> =>
    proxyOn(node, { synced: await backendFor(bed, backendOptions(node)), rules: () => backend.rules(bed) })
  return { title, mode, needs, start }
}

function backendOptions(node: ConformanceNode): BackendOptions {
  const cidr = node.detectorCidr === undefined ? undefined : parseCidr(node.detectorCidr)
  const detector = cidr === undefined ? undefined : { by: 'source' as const, cidr }
  return { family: node.family, detector, masqueradeMark: MASQUERADE_MARK, dropInvalid: true }
}

function proxyOn(
  node: ConformanceNode,
  kernel: { readonly synced: SyncedBackend; readonly rules: () => Promise<string> },
): RunningProxy {
  const { family, masqueradeAll, localhostNodePorts } = node
  const decider = new ForwardingDecider({
    family,
    hasDetector: node.detectorCidr !== undefined,
    masqueradeAll,
    localhostNodePorts,
    nodePortAddresses: nodePortAddressesOf(node),
    externalIpCidrs: undefined,
  })
  const store = new ClusterStore({ nodeName: node.name })
  store.apply({ type: 'changed', resource: 'Node', object: nodeObject(node) })
  list(store, 'ServiceCIDR', [serviceCidrObject(node)])
  return {
    follow: async (step, localIps) => {
      store.setLocalIps(localIps.flatMap((ip) => parseIp(ip) ?? []))
      list(store, 'Service', step.services)
      list(store, 'EndpointSlice', step.endpointSlices)
      await kernel.synced.sync(decider.decide(store.snapshot()))
    },
    rules: kernel.rules,
  }
}

/** A complete list is what a watch would have brought, whatever the order of its events. */
function list(store: ClusterStore, resource: ResourceKind, objects: readonly unknown[]): void {
  store.apply({ type: 'page', resource, first: true, objects })
  store.apply({ type: 'listed', resource })
}

function nodePortAddressesOf(node: ConformanceNode) {
  const { nodePortAddresses } = node
  if (typeof nodePortAddresses === 'string') return nodePortAddresses
  return nodePortAddresses.flatMap((text) => parseCidr(text) ?? [])
}

function nodeObject(node: ConformanceNode): unknown {
  const labels = node.zone === undefined ? {} : { 'topology.kubernetes.io/zone': node.zone }
  return {
    kind: 'Node',
    apiVersion: 'v1',
    metadata: { name: node.name, labels },
    status: { addresses: node.primaryIps.map((address) => ({ type: 'InternalIP', address })) },
  }
}

function serviceCidrObject(node: ConformanceNode): unknown {
  const metadata = { name: 'kubernetes' }
  return {
    kind: 'ServiceCIDR',
    apiVersion: 'networking.k8s.io/v1',
    metadata,
    spec: { cidrs: node.serviceCidrs },
  }
}
