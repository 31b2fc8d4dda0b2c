/** A proxy's view made from API objects, as the running proxy would have it after its first sync. */
import { IptablesPlanner } from '../../src/backends/iptables/plan.ts'
import type { FamilyProxyView, ProxyView } from '../../src/explain/proxy-view.ts'
import { ForwardingDecider } from '../../src/forwarding/decide-forwarding.ts'
import { ClusterStore } from '../../src/model/cluster-store.ts'
import type { ClusterSnapshot } from '../../src/model/cluster-snapshot.ts'
import type { ResourceKind } from '../../src/model/resource-event.ts'
import type { Cidr } from '../../src/net/cidr.ts'
import { FAMILIES, type Family } from '../../src/net/ip.ts'
import type { ApiObject } from '../conformance/conformance-case.ts'
import { anIp } from './forwarding-builder.ts'

const POD_CIDRS: Readonly<Record<Family, Cidr>> = {
  IPv4: '10.244.0.0/16' as Cidr,
  IPv6: 'fd00:244::/56' as Cidr,
}

/** Node `node-a` with the address 192.168.0.10; pods are in 10.244.0.0/16. */
export function aStore(objects: readonly ApiObject[]): ClusterStore {
  const store = new ClusterStore({ nodeName: 'node-a', primaryIps: { IPv4: anIp('192.168.0.10') } })
  store.setLocalIps([anIp('127.0.0.1'), anIp('192.168.0.10')])
  for (const object of objects)
    store.apply({ type: 'changed', resource: object['kind'] as ResourceKind, object })
  for (const resource of ['Service', 'EndpointSlice'] as const) store.apply({ type: 'listed', resource })
  return store
}

export function aProxyView(objects: readonly ApiObject[], changes: Partial<ProxyView> = {}): ProxyView {
  const store = aStore(objects)
  const snapshot = store.snapshot()
  return {
    node: snapshot.node,
    mode: 'iptables',
    families: FAMILIES.map((family) => familyView(family, snapshot)),
    rejections: store.rejections(),
    remarks: [],
    ...changes,
  }
}

function familyView(family: Family, snapshot: ClusterSnapshot): FamilyProxyView {
  const decider = new ForwardingDecider({
    family,
    hasDetector: true,
    masqueradeAll: false,
    nodePortAddresses: 'all',
    localhostNodePorts: false,
    externalIpCidrs: undefined,
  })
  const forwarding = decider.decide(snapshot)
  const detector = { by: 'source', cidr: POD_CIDRS[family] } as const
  const planner = new IptablesPlanner(
    { family, detector, masqueradeMark: 0x4000, dropInvalid: false },
    'none',
  )
  return {
    family,
    detector,
    forwarding,
    cluster: snapshot.families[family],
    believed: planner.plan(forwarding),
    conflicts: decider.conflicts(),
    refused: new Map(),
  }
}
