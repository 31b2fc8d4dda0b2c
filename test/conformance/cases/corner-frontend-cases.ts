/** Corners of which address is meant: equal numbers, addresses of the node, what is not served. */
import { aService, aSlice } from '../../support/builders.ts'
import { type AddressPlan, OTHER_NODE, THIS_NODE } from '../address-plan.ts'
import type { ConformanceCase, Outcome } from '../conformance-case.ts'
import { aCase, DROP, flow, kept, masqueraded, NONE, REJECT } from './case-parts.ts'

const ACCEPT: Outcome = { kind: 'accept' }

export function cornerFrontendCases(plan: AddressPlan): ConformanceCase[] {
  return [...portCorners(plan), ...addressCorners(plan)]
}

function portCorners(plan: AddressPlan): ConformanceCase[] {
  const [e1, e2] = [plan.endpoint(1), plan.endpoint(2)]
  const udp = { protocol: 'UDP' as const }
  const dns = aService('ns/dns')
    .clusterIp(plan.clusterIp)
    .with({ type: 'LoadBalancer' })
    .port(53, { name: 'udp', protocol: 'UDP', nodePort: 30053 })
    .port(53, { name: 'tcp', nodePort: 30053 })
    .port(54, { name: 'again', nodePort: 30054 })
    .loadBalancer(plan.loadBalancerIp)
    .externalIp(plan.externalIp)
    .build()
  const slice = aSlice('ns/dns').port(1053, { name: 'tcp' }).port(1053, { name: 'again' })
  return [
    aCase(
      plan,
      { name: 'One number under two protocols is two ports', features: [6, 13, 25] },
      {
        services: [dns],
        endpointSlices: [
          slice.port(1054, { name: 'udp', protocol: 'UDP' }).endpoint(e1, { on: THIS_NODE }).build(),
        ],
        flows: [
          flow(plan, 'TCP, ClusterIP', ['pod', plan.clusterIp, 53], kept(plan.at(e1, 1053))),
          flow(plan, 'UDP, ClusterIP', ['pod', plan.clusterIp, 53], {
            want: kept(plan.at(e1, 1054)),
            ...udp,
          }),
          flow(plan, 'TCP, NodePort', ['external', plan.node, 30053], masqueraded(plan.at(e1, 1053))),
          flow(plan, 'UDP, NodePort', ['external', plan.node, 30053], {
            want: masqueraded(plan.at(e1, 1054)),
            ...udp,
          }),
          flow(plan, 'UDP, load balancer', ['external', plan.loadBalancerIp, 53], {
            want: masqueraded(plan.at(e1, 1054)),
            ...udp,
          }),
          flow(plan, 'UDP, external IP', ['pod', plan.externalIp, 53], {
            want: masqueraded(plan.at(e1, 1054)),
            ...udp,
          }),
          flow(plan, 'another port, same target', ['pod', plan.clusterIp, 54], kept(plan.at(e1, 1053))),
        ],
      },
      {
        services: [dns],
        endpointSlices: [slice.endpoint(e1, { on: THIS_NODE }).build()],
        flows: [
          flow(plan, 'TCP alone is left', ['pod', plan.clusterIp, 53], kept(plan.at(e1, 1053))),
          flow(plan, 'UDP, ClusterIP, no endpoints', ['pod', plan.clusterIp, 53], { want: REJECT, ...udp }),
          flow(plan, 'UDP, NodePort, no endpoints', ['external', plan.node, 30053], { want: REJECT, ...udp }),
          flow(plan, 'UDP, load balancer, no endpoints', ['external', plan.loadBalancerIp, 53], {
            want: REJECT,
            ...udp,
          }),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'A NodePort number is nothing on Service addresses', features: [26, 44] },
      {
        services: [
          aService('ns/web')
            .clusterIp(plan.clusterIp)
            .nodePort(80, 30080)
            .externalIp(plan.externalIp)
            .build(),
        ],
        endpointSlices: [aSlice('ns/web').port(8080).endpoint(e1, { on: THIS_NODE }).build()],
        flows: [
          flow(plan, 'ClusterIP', ['pod', plan.clusterIp, 30080], {
            want: NONE,
            expectBy: { nftables: REJECT, ipvs: REJECT },
          }),
          flow(plan, 'external IP', ['external', plan.externalIp, 30080], {
            want: NONE,
            expectBy: { ipvs: REJECT },
          }),
          flow(
            plan,
            'external IP that the node has',
            ['external', plan.node, 30080],
            masqueraded(plan.at(e1, 8080)),
          ),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'An exact address comes before the NodePorts', features: [18, 26] },
      {
        services: [
          aService('ns/web').clusterIp(plan.clusterIp).nodePort(80, 30080).build(),
          aService('ns/exact')
            .clusterIp(plan.otherClusterIp)
            .port(30080)
            .externalIp(plan.localExternalIp)
            .build(),
        ],
        endpointSlices: [
          aSlice('ns/web').port(8080).endpoint(e1, { on: THIS_NODE }).build(),
          aSlice('ns/exact').port(8080).endpoint(e2, { on: OTHER_NODE }).build(),
        ],
        flows: [
          flow(plan, 'exact', ['external', plan.localExternalIp, 30080], {
            want: masqueraded(plan.at(e2, 8080)),
            // One address and port is one virtual server, and both Services add to it.
            expectBy: { ipvs: masqueraded(plan.at(e1, 8080), plan.at(e2, 8080)) },
          }),
          flow(plan, 'any other address', ['external', plan.node, 30080], masqueraded(plan.at(e1, 8080))),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'A source hash keeps a client at one endpoint', features: [43] },
      {
        services: [
          aService('ns/web').clusterIp(plan.clusterIp).port(80).wish('algorithm', 'source-hash').build(),
        ],
        endpointSlices: [aSlice('ns/web').port(8080).endpoint(e1, { on: THIS_NODE }).endpoint(e2).build()],
        flows: [
          flow(plan, 'pod', ['pod', plan.clusterIp, 80], {
            want: kept(plan.at(e1, 8080), plan.at(e2, 8080)),
            affinitySeconds: 1,
          }),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'Weights leave no endpoint out', features: [43] },
      {
        services: [aService('ns/web').clusterIp(plan.clusterIp).port(80).wish('weights', `${e1}=50`).build()],
        endpointSlices: [aSlice('ns/web').port(8080).endpoint(e1, { on: THIS_NODE }).endpoint(e2).build()],
        flows: [flow(plan, 'pod', ['pod', plan.clusterIp, 80], kept(plan.at(e1, 8080), plan.at(e2, 8080)))],
      },
    ),
  ]
}

function addressCorners(plan: AddressPlan): ConformanceCase[] {
  const e1 = plan.endpoint(1)
  const endpointSlices = [aSlice('ns/web').port(8080).endpoint(e1, { on: THIS_NODE }).build()]
  const web = aService('ns/web').clusterIp(plan.clusterIp)
  const reached = masqueraded(plan.at(e1, 8080))
  const outside = { sourceIp: plan.clientOutsideRange }
  return [
    aCase(
      plan,
      { name: 'A load balancer address that the node has is served and filtered', features: [19, 34] },
      {
        services: [web.port(80).loadBalancer(plan.localExternalIp).sourceRanges(plan.clientRange).build()],
        endpointSlices,
        flows: [
          flow(plan, 'inside', ['external', plan.localExternalIp, 80], reached),
          flow(plan, 'outside', ['external', plan.localExternalIp, 80], { want: DROP, ...outside }),
          flow(plan, 'another port of it', ['external', plan.localExternalIp, 81], NONE),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'An address that is external IP and load balancer address is one', features: [18, 19] },
      {
        services: [
          web
            .port(80)
            .loadBalancer(plan.loadBalancerIp)
            .externalIp(plan.loadBalancerIp)
            .externalLocal(31000)
            .build(),
        ],
        endpointSlices,
        flows: [
          flow(plan, 'outside', ['external', plan.loadBalancerIp, 80], kept(plan.at(e1, 8080))),
          flow(plan, 'node', ['node', plan.loadBalancerIp, 80], reached),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'External policy Local counts for a ClusterIP Service with external IPs',
        features: [18, 22, 24],
      },
      {
        services: [web.port(80).externalIp(plan.externalIp).externalLocal().build()],
        endpointSlices,
        flows: [flow(plan, 'local', ['external', plan.externalIp, 80], kept(plan.at(e1, 8080)))],
      },
      {
        services: [web.port(80).externalIp(plan.externalIp).externalLocal().build()],
        endpointSlices: [aSlice('ns/web').port(8080).endpoint(plan.endpoint(2), { on: OTHER_NODE }).build()],
        flows: [
          flow(plan, 'none local', ['external', plan.externalIp, 80], DROP),
          flow(
            plan,
            'ClusterIP',
            ['external', plan.clusterIp, 80],
            masqueraded(plan.at(plan.endpoint(2), 8080)),
          ),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'A load balancer address moves from one Service to another', features: [19] },
      ...(['ns/web', 'ns/next'] as const).map((owner) => ({
        services: ['ns/web', 'ns/next'].map((name) => {
          const one = aService(name)
            .clusterIp(name === 'ns/web' ? plan.clusterIp : plan.otherClusterIp)
            .port(80)
          return (name === owner ? one.loadBalancer(plan.loadBalancerIp) : one).build()
        }),
        endpointSlices: [...endpointSlices, aSlice('ns/next').port(8080).endpoint(plan.endpoint(2)).build()],
        flows: [
          flow(
            plan,
            `owned by ${owner}`,
            ['external', plan.loadBalancerIp, 80],
            masqueraded(plan.at(plan.endpoint(owner === 'ns/web' ? 1 : 2), 8080)),
          ),
        ],
      })),
    ),
    aCase(
      plan,
      { name: 'A ClusterIP outside the Service network is served all the same', features: [11, 45] },
      {
        services: [aService('ns/web').clusterIp(plan.strayClusterIp).port(80).build()],
        endpointSlices,
        flows: [
          flow(plan, 'served', ['pod', plan.strayClusterIp, 80], kept(plan.at(e1, 8080))),
          flow(plan, 'nobody’s', ['pod', plan.clusterIp, 80], {
            want: NONE,
            expectBy: { nftables: DROP, ipvs: DROP },
          }),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'The health check port of a load balancer is let in', features: [39, 40] },
      {
        services: [web.port(80).loadBalancer(plan.loadBalancerIp).externalLocal(31000).build()],
        endpointSlices,
        flows: [flow(plan, 'HealthCheckNodePort', ['external', plan.node, 31000], ACCEPT)],
      },
    ),
  ]
}
