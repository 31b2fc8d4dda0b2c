/** What Fairlead does beyond kube-proxy: conflicts, refused addresses, annotations. */
import { aService, aSlice } from '../../support/builders.ts'
import { type AddressPlan, OTHER_NODE, THIS_NODE } from '../address-plan.ts'
import type { ConformanceCase } from '../conformance-case.ts'
import { aCase, flow, kept, masqueraded, NONE } from './case-parts.ts'

export function beyondCases(plan: AddressPlan): ConformanceCase[] {
  const [e1, e2] = [plan.endpoint(1), plan.endpoint(2)]
  const first = aSlice('ns/old').port(8080).endpoint(e1, { on: THIS_NODE }).build()
  const second = aSlice('ns/new').port(8080).endpoint(e2, { on: OTHER_NODE }).build()
  const endpointSlices = [first, second]
  const old = aService('ns/old').clusterIp(plan.clusterIp).port(80).externalIp(plan.externalIp)
  const young = aService('ns/new').clusterIp(plan.otherClusterIp).createdAt('2026-02-01T00:00:00Z')
  const [toFirst, toSecond] = [plan.at(e1, 8080), plan.at(e2, 8080)]
  return [
    aCase(
      plan,
      { name: 'The oldest Service owns an external address and port', features: [18] },
      {
        services: [young.port(80).externalIp(plan.externalIp).build(), old.build()],
        endpointSlices,
        flows: [
          flow(plan, 'the shared address', ['external', plan.externalIp, 80], masqueraded(toFirst)),
          flow(plan, 'the rest of the younger one', ['pod', plan.otherClusterIp, 80], kept(toSecond)),
        ],
      },
      {
        services: [young.port(80).externalIp(plan.externalIp).build()],
        endpointSlices,
        flows: [
          flow(plan, 'when the owner is gone', ['external', plan.externalIp, 80], masqueraded(toSecond)),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'Two Services share an address by port', features: [18, 19] },
      {
        services: [young.port(81).externalIp(plan.externalIp).build(), old.build()],
        endpointSlices,
        flows: [
          flow(plan, 'one port', ['external', plan.externalIp, 80], masqueraded(toFirst)),
          flow(plan, 'the other', ['external', plan.externalIp, 81], masqueraded(toSecond)),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'An external IP cannot take over a ClusterIP, an endpoint or the node', features: [18] },
      {
        services: [
          old.build(),
          young.port(80, { name: '' }).externalIp(plan.clusterIp, plan.node).build(),
          aService('ns/thief').clusterIp(plan.unallocated).port(8080).externalIp(e1).build(),
        ],
        endpointSlices: [...endpointSlices, aSlice('ns/thief').port(9).endpoint(plan.endpoint(9)).build()],
        flows: [
          flow(plan, 'the ClusterIP still reaches its own', ['pod', plan.clusterIp, 80], kept(toFirst)),
          flow(plan, 'the endpoint is still itself', ['pod', e1, 8080], NONE),
          flow(plan, 'the node’s address is not taken', ['external', plan.node, 80], NONE),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'A port range keeps the port that the client dialled', features: [] },
      {
        services: [
          aService('ns/old')
            .clusterIp(plan.clusterIp)
            .port(10000, { protocol: 'UDP' })
            .loadBalancer(plan.loadBalancerIp)
            .wish('port-range', '10000-20000')
            .build(),
        ],
        endpointSlices: [
          aSlice('ns/old').port(10000, { protocol: 'UDP' }).endpoint(e1, { on: THIS_NODE }).build(),
        ],
        flows: [
          flow(plan, 'first', ['pod', plan.clusterIp, 10000], {
            want: kept(plan.at(e1, 10000)),
            protocol: 'UDP',
          }),
          flow(plan, 'middle', ['pod', plan.clusterIp, 15000], {
            want: kept(plan.at(e1, 15000)),
            protocol: 'UDP',
          }),
          flow(plan, 'last, load balancer', ['external', plan.loadBalancerIp, 20000], {
            want: masqueraded(plan.at(e1, 20000)),
            protocol: 'UDP',
          }),
          flow(plan, 'beyond, load balancer', ['external', plan.loadBalancerIp, 20001], {
            want: NONE,
            protocol: 'UDP',
          }),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'The mode of load balancer addresses can be overridden', features: [19, 20] },
      {
        services: [
          aService('ns/old')
            .clusterIp(plan.clusterIp)
            .port(80)
            .loadBalancer(plan.loadBalancerIp)
            .wish('ip-mode', 'proxy')
            .build(),
        ],
        endpointSlices,
        flows: [flow(plan, 'proxy', ['pod', plan.loadBalancerIp, 80], NONE)],
      },
      {
        services: [
          aService('ns/old')
            .clusterIp(plan.clusterIp)
            .port(80)
            .loadBalancer({ ip: plan.loadBalancerIp, ipMode: 'Proxy' })
            .wish('ip-mode', 'vip')
            .build(),
        ],
        endpointSlices,
        flows: [flow(plan, 'vip', ['pod', plan.loadBalancerIp, 80], masqueraded(toFirst))],
      },
    ),
    aCase(
      plan,
      { name: 'Addresses of the other family do not disturb', features: [4] },
      {
        services: [
          aService('ns/old')
            .clusterIp(plan.clusterIp, plan.family === 'IPv4' ? 'fd00:172:30::99' : '172.30.0.99')
            .port(80)
            .externalIp(plan.externalIp, plan.family === 'IPv4' ? '2001:db8:99::99' : '192.168.99.99')
            .build(),
        ],
        endpointSlices: [
          first,
          aSlice('ns/old', '2')
            .port(8080)
            .endpoint(plan.family === 'IPv4' ? 'fd00:10:180::77' : '10.180.0.77')
            .build(),
        ],
        flows: [
          flow(plan, 'ClusterIP', ['pod', plan.clusterIp, 80], kept(toFirst)),
          flow(plan, 'external IP', ['external', plan.externalIp, 80], masqueraded(toFirst)),
        ],
      },
    ),
  ]
}
