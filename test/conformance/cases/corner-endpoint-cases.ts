/** Corners of which endpoints are meant: policies that meet, hints that do not count. */
import { aService, aSlice } from '../../support/builders.ts'
import { type AddressPlan, OTHER_NODE, THIS_NODE, ZONE } from '../address-plan.ts'
import type { ApiObject, ConformanceCase } from '../conformance-case.ts'
import { aCase, DROP, flow, kept, masqueraded } from './case-parts.ts'

const DRAINING = { ready: false, serving: true, terminating: true }

export function cornerEndpointCases(plan: AddressPlan): ConformanceCase[] {
  return [...policyCorners(plan), ...hintCorners(plan)]
}

function policyCorners(plan: AddressPlan): ConformanceCase[] {
  const [e1, e2, e3] = [plan.endpoint(1), plan.endpoint(2), plan.endpoint(3)]
  const [here, there] = [plan.at(e1, 8080), plan.at(e2, 8080)]
  const slice = aSlice('ns/web').port(8080)
  const mixed = slice.endpoint(e1, { on: THIS_NODE }).endpoint(e2, { on: OTHER_NODE }).build()
  const remote = slice.endpoint(e2, { on: OTHER_NODE }).build()
  const web = aService('ns/web').clusterIp(plan.clusterIp).nodePort(80, 30080)
  const open = web.loadBalancer(plan.loadBalancerIp).externalIp(plan.externalIp)
  return [
    aCase(
      plan,
      { name: 'Internal policy Local does not concern what comes from outside', features: [12, 21] },
      {
        services: [open.internalLocal().build()],
        endpointSlices: [mixed],
        flows: [
          flow(plan, 'ClusterIP', ['pod', plan.clusterIp, 80], kept(here)),
          flow(plan, 'NodePort', ['external', plan.node, 30080], masqueraded(here, there)),
          flow(plan, 'pod to the NodePort', ['pod', plan.node, 30080], masqueraded(here, there)),
          flow(plan, 'load balancer', ['external', plan.loadBalancerIp, 80], masqueraded(here, there)),
        ],
      },
      {
        services: [open.internalLocal().build()],
        endpointSlices: [remote],
        flows: [
          flow(plan, 'ClusterIP with none local', ['node', plan.clusterIp, 80], DROP),
          flow(plan, 'external IP with none local', ['external', plan.externalIp, 80], masqueraded(there)),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'A draining local endpoint serves policy Local while others are ready elsewhere',
        features: [8, 22, 23],
      },
      {
        services: [open.externalLocal(31000).build()],
        endpointSlices: [
          slice
            .endpoint(e1, { on: THIS_NODE, ...DRAINING })
            .endpoint(e2, { on: OTHER_NODE })
            .build(),
        ],
        flows: [
          flow(plan, 'outside to the NodePort', ['external', plan.node, 30080], kept(here)),
          flow(plan, 'outside to the load balancer', ['external', plan.loadBalancerIp, 80], kept(here)),
          flow(plan, 'pod to the load balancer', ['pod', plan.loadBalancerIp, 80], kept(there)),
          flow(plan, 'node to the NodePort', ['node', plan.node, 30080], masqueraded(there)),
        ],
      },
      {
        services: [open.internalLocal().externalLocal(31000).build()],
        endpointSlices: [
          slice
            .endpoint(e1, { on: THIS_NODE, ready: false, serving: false, terminating: true })
            .endpoint(e2, { on: OTHER_NODE, ...DRAINING })
            .endpoint(e3, { on: THIS_NODE, ready: false })
            .build(),
        ],
        flows: [
          flow(plan, 'nothing usable here: outside', ['external', plan.externalIp, 80], DROP),
          flow(plan, 'nothing usable here: inside', ['pod', plan.clusterIp, 80], DROP),
          flow(plan, 'nothing usable here: around the policy', ['pod', plan.externalIp, 80], kept(there)),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'Traffic policies can be changed while a Service runs', features: [12, 21, 22] },
      ...[
        { service: web, node: masqueraded(here, there), pod: kept(here, there) },
        { service: web.externalLocal().internalLocal(), node: kept(here), pod: kept(here) },
        { service: web, node: masqueraded(here, there), pod: kept(here, there) },
      ].map(({ service, node, pod }) => ({
        services: [service.build()],
        endpointSlices: [mixed],
        flows: [
          flow(plan, 'NodePort', ['external', plan.node, 30080], node),
          flow(plan, 'ClusterIP', ['pod', plan.clusterIp, 80], pod),
        ],
      })),
    ),
    aCase(
      plan,
      {
        name: 'Pods of other nodes are outsiders where the detector knows this node alone',
        features: [14, 17, 22, 24],
        node: { detectorCidr: plan.ownPodCidr },
      },
      {
        services: [open.externalLocal(31000).build()],
        endpointSlices: [mixed],
        flows: [
          flow(plan, 'ClusterIP', ['remote-endpoint', plan.clusterIp, 80], {
            want: masqueraded(here, there),
            sourceIp: plan.remotePod,
          }),
          flow(plan, 'load balancer', ['remote-endpoint', plan.loadBalancerIp, 80], {
            want: kept(here),
            sourceIp: plan.remotePod,
          }),
          flow(plan, 'own pod to the load balancer', ['pod', plan.loadBalancerIp, 80], kept(here, there)),
        ],
      },
      {
        services: [open.externalLocal(31000).build()],
        endpointSlices: [remote],
        flows: [
          flow(plan, 'none local', ['remote-endpoint', plan.externalIp, 80], {
            want: DROP,
            sourceIp: plan.remotePod,
          }),
          flow(plan, 'own pod, none local', ['pod', plan.externalIp, 80], kept(there)),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'Pods of other nodes are pods where the detector knows all of them',
        features: [14, 17, 21, 23],
      },
      {
        services: [open.externalLocal(31000).build()],
        endpointSlices: [remote],
        flows: [
          flow(plan, 'ClusterIP', ['remote-endpoint', plan.clusterIp, 80], {
            want: kept(there),
            sourceIp: plan.remotePod,
          }),
          flow(plan, 'load balancer', ['remote-endpoint', plan.loadBalancerIp, 80], {
            want: kept(there),
            sourceIp: plan.remotePod,
          }),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'masqueradeAll needs no detector',
        features: [15, 16],
        node: { masqueradeAll: true, detectorCidr: undefined },
      },
      {
        services: [web.externalLocal().build()],
        endpointSlices: [mixed],
        flows: [
          flow(plan, 'pod to the ClusterIP', ['pod', plan.clusterIp, 80], masqueraded(here, there)),
          flow(plan, 'outside to the ClusterIP', ['external', plan.clusterIp, 80], masqueraded(here, there)),
          flow(plan, 'pod to the NodePort', ['pod', plan.node, 30080], kept(here)),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'Without a detector the node alone goes around policy Local',
        features: [15, 23, 24],
        node: { detectorCidr: undefined },
      },
      {
        services: [open.externalLocal(31000).build()],
        endpointSlices: [remote],
        flows: [
          flow(plan, 'pod to the load balancer', ['pod', plan.loadBalancerIp, 80], DROP),
          flow(plan, 'outside to the external IP', ['external', plan.externalIp, 80], DROP),
          flow(plan, 'node to the load balancer', ['node', plan.loadBalancerIp, 80], masqueraded(there)),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'A pod that meets itself from outside is masqueraded, policy Local or not',
        features: [23, 41],
      },
      {
        services: [open.externalLocal(31000).build()],
        endpointSlices: [slice.endpoint(e1, { on: THIS_NODE }).build()],
        flows: [
          flow(plan, 'load balancer', ['local-endpoint', plan.loadBalancerIp, 80], {
            want: masqueraded(here),
            sourceIp: e1,
          }),
          flow(plan, 'external IP', ['local-endpoint', plan.externalIp, 80], {
            want: masqueraded(here),
            sourceIp: e1,
          }),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'Affinity holds within each policy', features: [22, 23, 42] },
      {
        services: [web.externalLocal().affinity(60).build()],
        endpointSlices: [
          slice
            .endpoint(e1, { on: THIS_NODE })
            .endpoint(e3, { on: THIS_NODE })
            .endpoint(e2, { on: OTHER_NODE })
            .build(),
        ],
        flows: [
          flow(plan, 'outside', ['external', plan.node, 30080], {
            want: kept(here, plan.at(e3, 8080)),
            affinitySeconds: 60,
          }),
          flow(plan, 'pod', ['pod', plan.node, 30080], {
            want: kept(here, plan.at(e3, 8080), there),
            affinitySeconds: 60,
          }),
        ],
      },
    ),
  ]
}

function hintCorners(plan: AddressPlan): ConformanceCase[] {
  const [e1, e2, e3] = [plan.endpoint(1), plan.endpoint(2), plan.endpoint(3)]
  const at = (...ips: readonly string[]): string[] => ips.map((ip) => plan.at(ip, 8080))
  const web = aService('ns/web').clusterIp(plan.clusterIp).nodePort(80, 30080)
  const slice = aSlice('ns/web').port(8080)
  const step = (built: ApiObject, ...ips: readonly string[]) => ({
    services: [web.build()],
    endpointSlices: [built],
    flows: [flow(plan, 'ClusterIP', ['pod', plan.clusterIp, 80], kept(...at(...ips)))],
  })
  return [
    aCase(
      plan,
      { name: 'Hints narrow the cluster pool alone', features: [9, 22] },
      {
        services: [web.externalLocal().build()],
        endpointSlices: [
          slice
            .endpoint(e1, { on: THIS_NODE, zones: ['zone-b'] })
            .endpoint(e2, { on: OTHER_NODE, zones: [ZONE] })
            .build(),
        ],
        flows: [
          flow(plan, 'ClusterIP', ['pod', plan.clusterIp, 80], kept(...at(e2))),
          flow(plan, 'pod to the NodePort', ['pod', plan.node, 30080], kept(...at(e2))),
          flow(plan, 'outside to the NodePort', ['external', plan.node, 30080], kept(...at(e1))),
        ],
      },
      {
        services: [web.build()],
        endpointSlices: [
          slice
            .endpoint(e1, { on: THIS_NODE, zones: ['zone-b'] })
            .endpoint(e2, { on: OTHER_NODE, zones: [ZONE] })
            .build(),
        ],
        flows: [flow(plan, 'policy Cluster', ['external', plan.node, 30080], masqueraded(...at(e2)))],
      },
    ),
    aCase(
      plan,
      { name: 'Hints of endpoints that are not ready do not count', features: [7, 8, 9] },
      step(
        slice
          .endpoint(e1, { zones: [ZONE] })
          .endpoint(e2, { zones: ['zone-b'] })
          .endpoint(e3, { ready: false })
          .build(),
        e1,
      ),
      step(
        slice
          .endpoint(e1, { zones: [ZONE], ready: false })
          .endpoint(e2, { zones: ['zone-b'] })
          .build(),
        e2,
      ),
      step(
        slice
          .endpoint(e1, { zones: [ZONE], ...DRAINING })
          .endpoint(e2, { zones: ['zone-b'], ...DRAINING })
          .build(),
        e1,
        e2,
      ),
      step(
        slice
          .endpoint(e1, { zones: [ZONE], nodes: [OTHER_NODE] })
          .endpoint(e2, { zones: ['zone-b'], nodes: [OTHER_NODE] })
          .build(),
        e1,
      ),
      step(
        slice
          .endpoint(e1, { nodes: [THIS_NODE] })
          .endpoint(e2)
          .build(),
        e1,
        e2,
      ),
    ),
    aCase(
      plan,
      { name: 'A node without a zone follows node hints alone', features: [9], node: { zone: undefined } },
      step(
        slice
          .endpoint(e1, { zones: [ZONE] })
          .endpoint(e2, { zones: ['zone-b'] })
          .build(),
        e1,
        e2,
      ),
      step(
        slice
          .endpoint(e1, { nodes: [THIS_NODE] })
          .endpoint(e2, { nodes: [OTHER_NODE] })
          .build(),
        e1,
      ),
    ),
  ]
}
