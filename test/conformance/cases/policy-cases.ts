/** Which endpoints: traffic policies, readiness, termination, topology, duplicates. */
import { aService, aSlice } from '../../support/builders.ts'
import { type AddressPlan, OTHER_NODE, THIS_NODE, ZONE } from '../address-plan.ts'
import type { ConformanceCase } from '../conformance-case.ts'
import { aCase, DROP, flow, kept, masqueraded, REJECT } from './case-parts.ts'

export function policyCases(plan: AddressPlan): ConformanceCase[] {
  return [...trafficPolicyCases(plan), ...endpointCases(plan)]
}

function trafficPolicyCases(plan: AddressPlan): ConformanceCase[] {
  const [e1, e2] = [plan.endpoint(1), plan.endpoint(2)]
  const here = plan.at(e1, 8080)
  const there = plan.at(e2, 8080)
  const mixed = aSlice('ns/web')
    .port(8080)
    .endpoint(e1, { on: THIS_NODE })
    .endpoint(e2, { on: OTHER_NODE })
    .build()
  const remote = aSlice('ns/web').port(8080).endpoint(e2, { on: OTHER_NODE }).build()
  const local = aService('ns/web')
    .clusterIp(plan.clusterIp)
    .nodePort(80, 30080)
    .loadBalancer(plan.loadBalancerIp)
    .externalIp(plan.externalIp)
    .externalLocal(31000)
    .build()
  return [
    aCase(
      plan,
      { name: 'Internal policy Local stays on the node, or is silent', features: [12] },
      {
        services: [aService('ns/web').clusterIp(plan.clusterIp).port(80).internalLocal().build()],
        endpointSlices: [mixed],
        flows: [
          flow(plan, 'from a pod', ['pod', plan.clusterIp, 80], kept(here)),
          flow(plan, 'from the node', ['node', plan.clusterIp, 80], masqueraded(here)),
        ],
      },
      {
        services: [aService('ns/web').clusterIp(plan.clusterIp).port(80).internalLocal().build()],
        endpointSlices: [remote],
        flows: [flow(plan, 'with no local endpoint', ['pod', plan.clusterIp, 80], DROP)],
      },
      {
        services: [aService('ns/web').clusterIp(plan.clusterIp).port(80).internalLocal().build()],
        endpointSlices: [],
        flows: [flow(plan, 'with no endpoint at all', ['pod', plan.clusterIp, 80], REJECT)],
      },
    ),
    aCase(
      plan,
      {
        name: 'External policy Local keeps the client and lets pods and the node short-cut',
        features: [22, 23],
      },
      {
        services: [local],
        endpointSlices: [mixed],
        flows: [
          flow(plan, 'outside to the load balancer', ['external', plan.loadBalancerIp, 80], kept(here)),
          flow(plan, 'outside to the external IP', ['external', plan.externalIp, 80], kept(here)),
          flow(plan, 'outside to the NodePort', ['external', plan.node, 30080], kept(here)),
          flow(plan, 'pod to the load balancer', ['pod', plan.loadBalancerIp, 80], kept(here, there)),
          flow(plan, 'pod to the NodePort', ['pod', plan.node, 30080], kept(here, there)),
          flow(
            plan,
            'node to the load balancer',
            ['node', plan.loadBalancerIp, 80],
            masqueraded(here, there),
          ),
          flow(plan, 'ClusterIP is not concerned', ['pod', plan.clusterIp, 80], kept(here, there)),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'External policy Local without a local endpoint is silent to outsiders alone',
        features: [24, 23],
      },
      {
        services: [local],
        endpointSlices: [remote],
        flows: [
          flow(plan, 'outside to the load balancer', ['external', plan.loadBalancerIp, 80], DROP),
          flow(plan, 'outside to the external IP', ['external', plan.externalIp, 80], DROP),
          flow(plan, 'outside to the NodePort', ['external', plan.node, 30080], DROP),
          flow(plan, 'pod to the load balancer', ['pod', plan.loadBalancerIp, 80], kept(there)),
          flow(plan, 'node to the NodePort', ['node', plan.node, 30080], masqueraded(there)),
        ],
      },
      {
        services: [local],
        endpointSlices: [mixed],
        flows: [flow(plan, 'once one runs here', ['external', plan.loadBalancerIp, 80], kept(here))],
      },
    ),
    aCase(
      plan,
      { name: 'Both policies Local', features: [12, 22, 24] },
      {
        services: [
          aService('ns/web')
            .clusterIp(plan.clusterIp)
            .nodePort(80, 30080)
            .externalLocal()
            .internalLocal()
            .build(),
        ],
        endpointSlices: [remote],
        flows: [
          flow(plan, 'pod to the ClusterIP', ['pod', plan.clusterIp, 80], DROP),
          flow(plan, 'pod to the NodePort', ['pod', plan.node, 30080], kept(there)),
          flow(plan, 'outside to the NodePort', ['external', plan.node, 30080], DROP),
        ],
      },
    ),
  ]
}

function endpointCases(plan: AddressPlan): ConformanceCase[] {
  const [e1, e2, e3, e4] = [1, 2, 3, 4].map((n) => plan.endpoint(n)) as [string, string, string, string]
  const at = (...ips: readonly string[]): string[] => ips.map((ip) => plan.at(ip, 8080))
  const web = aService('ns/web').clusterIp(plan.clusterIp).nodePort(80, 30080).externalLocal().build()
  const base = aSlice('ns/web').port(8080)
  const draining = { ready: false, serving: true, terminating: true }
  const toCluster = (name: string, ...ips: readonly string[]) =>
    flow(plan, name, ['pod', plan.clusterIp, 80], ips.length === 0 ? REJECT : kept(...at(...ips)))
  const only = (slice: ReturnType<typeof aSlice>, ...flows: ReturnType<typeof toCluster>[]) => ({
    services: [web],
    endpointSlices: [slice.build()],
    flows,
  })
  return [
    aCase(
      plan,
      { name: 'Readiness decides, and terminating endpoints are the last resort', features: [7, 8] },
      only(
        base
          .endpoint(e1, { on: THIS_NODE, ready: false })
          .endpoint(e2, { on: OTHER_NODE })
          .endpoint(e3, { on: OTHER_NODE, ...draining }),
        toCluster('ready ones alone', e2),
        flow(plan, 'none local', ['external', plan.node, 30080], DROP),
      ),
      only(
        base
          .endpoint(e1, { on: THIS_NODE, ...draining })
          .endpoint(e2, { on: OTHER_NODE })
          .endpoint(e3, { on: OTHER_NODE, ...draining }),
        toCluster('a ready one elsewhere', e2),
        flow(plan, 'the local one drains', ['external', plan.node, 30080], kept(...at(e1))),
      ),
      only(
        base
          .endpoint(e1, { on: THIS_NODE, ...draining })
          .endpoint(e2, { on: OTHER_NODE, ready: false, terminating: true })
          .endpoint(e3, { on: OTHER_NODE, ...draining }),
        toCluster('nothing but draining ones', e1, e3),
      ),
      only(
        base.endpoint(e1, { ready: false }).endpoint(e2, { ready: false, terminating: true }),
        toCluster('nothing usable'),
      ),
      only(
        base.endpoint(e1, { ready: true, terminating: true }),
        toCluster('published although not ready', e1),
      ),
    ),
    aCase(
      plan,
      { name: 'Zone and node hints hold when every ready endpoint has one', features: [9] },
      only(
        base
          .endpoint(e1, { zones: [ZONE] })
          .endpoint(e2, { zones: ['zone-b'] })
          .endpoint(e3, { zones: ['zone-b', ZONE] }),
        toCluster('same zone', e1, e3),
      ),
      only(
        base
          .endpoint(e1, { zones: [ZONE] })
          .endpoint(e2, { zones: ['zone-b'] })
          .endpoint(e3),
        toCluster('one without a hint', e1, e2, e3),
      ),
      only(
        base.endpoint(e1, { zones: ['zone-b'] }).endpoint(e2, { zones: ['zone-c'] }),
        toCluster('no hint for us', e1, e2),
      ),
      only(
        base
          .endpoint(e1, { nodes: [THIS_NODE], zones: [ZONE], on: THIS_NODE })
          .endpoint(e2, { nodes: [OTHER_NODE], zones: [ZONE], on: OTHER_NODE }),
        toCluster('same node before same zone', e1),
      ),
      only(
        base
          .endpoint(e1, { nodes: [THIS_NODE], zones: [ZONE], on: THIS_NODE, ready: false })
          .endpoint(e2, { nodes: [OTHER_NODE], zones: [ZONE], on: OTHER_NODE })
          .endpoint(e3, { nodes: [OTHER_NODE], zones: ['zone-b'], on: OTHER_NODE }),
        toCluster('the zone when the node has none', e2),
      ),
    ),
    aCase(
      plan,
      { name: 'Endpoints of several slices are one pool', features: [2, 10] },
      {
        services: [web],
        endpointSlices: [
          base
            .endpoint(e1, { ...draining, on: THIS_NODE })
            .endpoint(e2)
            .build(),
          aSlice('ns/web', '2').port(8080).endpoint(e1, { on: THIS_NODE }).endpoint(e3).build(),
        ],
        flows: [toCluster('the duplicate that does not terminate counts', e1, e2, e3)],
      },
      {
        services: [web],
        endpointSlices: [
          base.endpoint(e2).build(),
          {
            ...aSlice('ns/web', '2').port(8080).endpoint(e4).build(),
            metadata: { namespace: 'ns', name: 'web-2', labels: { 'kubernetes.io/service-name': 'other' } },
          },
        ],
        flows: [toCluster('a relabelled slice leaves nothing behind', e2)],
      },
    ),
  ]
}
