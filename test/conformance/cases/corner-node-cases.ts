/** Corners of source ranges and of NodePorts. */
import { aService, aSlice } from '../../support/builders.ts'
import { type AddressPlan, OTHER_NODE, THIS_NODE } from '../address-plan.ts'
import type { ConformanceCase, Outcome } from '../conformance-case.ts'
import { aCase, DROP, flow, kept, masqueraded, NONE, REJECT } from './case-parts.ts'

export function cornerNodeCases(plan: AddressPlan): ConformanceCase[] {
  return [...rangeCorners(plan), ...nodePortCorners(plan)]
}

function rangeCorners(plan: AddressPlan): ConformanceCase[] {
  const e1 = plan.endpoint(1)
  const web = aService('ns/web')
    .clusterIp(plan.clusterIp)
    .nodePort(80, 30080)
    .loadBalancer(plan.loadBalancerIp, plan.otherLoadBalancerIp)
  const local = [aSlice('ns/web').port(8080).endpoint(e1, { on: THIS_NODE }).build()]
  const remote = [aSlice('ns/web').port(8080).endpoint(plan.endpoint(2), { on: OTHER_NODE }).build()]
  const reached = masqueraded(plan.at(e1, 8080))
  const outside = { sourceIp: plan.clientOutsideRange }
  const policyLocal = web.sourceRanges(plan.clientRange, plan.podCidr).externalLocal(31000)
  return [
    aCase(
      plan,
      { name: 'Source ranges are asked before the policy', features: [22, 24, 34, 38] },
      {
        services: [policyLocal.build()],
        endpointSlices: local,
        flows: [
          flow(plan, 'inside', ['external', plan.loadBalancerIp, 80], kept(plan.at(e1, 8080))),
          flow(
            plan,
            'inside, second address',
            ['external', plan.otherLoadBalancerIp, 80],
            kept(plan.at(e1, 8080)),
          ),
          flow(plan, 'outside, second address', ['external', plan.otherLoadBalancerIp, 80], {
            want: DROP,
            ...outside,
          }),
          flow(plan, 'a pod that a range names', ['pod', plan.loadBalancerIp, 80], kept(plan.at(e1, 8080))),
          flow(plan, 'the node, which none names', ['node', plan.loadBalancerIp, 80], DROP),
          flow(plan, 'outside, NodePort', ['external', plan.node, 30080], {
            want: kept(plan.at(e1, 8080)),
            ...outside,
          }),
        ],
      },
      {
        services: [policyLocal.build()],
        endpointSlices: remote,
        flows: [
          flow(plan, 'inside, none local', ['external', plan.loadBalancerIp, 80], DROP),
          flow(
            plan,
            'a pod that a range names, none local',
            ['pod', plan.loadBalancerIp, 80],
            kept(plan.at(plan.endpoint(2), 8080)),
          ),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'Source ranges come and go while a Service runs', features: [34, 35, 36] },
      {
        services: [web.build()],
        endpointSlices: local,
        flows: [flow(plan, 'none yet', ['external', plan.loadBalancerIp, 80], { want: reached, ...outside })],
      },
      {
        services: [web.sourceRanges(plan.clientRange).build()],
        endpointSlices: local,
        flows: [
          flow(plan, 'outside', ['external', plan.loadBalancerIp, 80], { want: DROP, ...outside }),
          flow(plan, 'inside', ['external', plan.loadBalancerIp, 80], reached),
        ],
      },
      {
        services: [web.sourceRanges(plan.nodeRange).build()],
        endpointSlices: local,
        flows: [flow(plan, 'another range', ['external', plan.loadBalancerIp, 80], DROP)],
      },
      {
        services: [web.build()],
        endpointSlices: local,
        flows: [
          flow(plan, 'none any more', ['external', plan.loadBalancerIp, 80], { want: reached, ...outside }),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'Source ranges do not concern a load balancer address of mode Proxy', features: [20, 34] },
      {
        services: [
          aService('ns/web')
            .clusterIp(plan.clusterIp)
            .port(80)
            .loadBalancer({ ip: plan.loadBalancerIp, ipMode: 'Proxy' })
            .sourceRanges(plan.nodeRange)
            .build(),
        ],
        endpointSlices: local,
        flows: [
          flow(plan, 'outside', ['external', plan.loadBalancerIp, 80], NONE),
          flow(plan, 'pod', ['pod', plan.loadBalancerIp, 80], NONE),
        ],
      },
    ),
  ]
}

function nodePortCorners(plan: AddressPlan): ConformanceCase[] {
  const e1 = plan.endpoint(1)
  const isIpv4 = plan.family === 'IPv4'
  const web = aService('ns/web').clusterIp(plan.clusterIp).nodePort(80, 30080)
  const local = [aSlice('ns/web').port(8080).endpoint(e1, { on: THIS_NODE }).build()]
  const remote = [aSlice('ns/web').port(8080).endpoint(plan.endpoint(2), { on: OTHER_NODE }).build()]
  const reached = masqueraded(plan.at(e1, 8080))
  const onLocalhost = (want: Outcome) => (isIpv4 ? { want, expectBy: { ipvs: NONE } } : { want: NONE })
  return [
    aCase(
      plan,
      {
        name: 'NodePorts on loopback alone answer there, and on every address of a family without a network',
        features: [27, 29, 30, 32],
        node: { localhostNodePorts: true, nodePortAddresses: ['127.0.0.0/8'] },
      },
      {
        services: [web.build()],
        endpointSlices: local,
        flows: [
          flow(plan, 'from outside', ['external', plan.node, 30080], isIpv4 ? NONE : reached),
          flow(plan, 'on localhost', ['localhost', plan.localhost, 30080], onLocalhost(reached)),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'NodePorts on localhost take the node’s way around policy Local',
        features: [23, 29, 30],
        node: { localhostNodePorts: true },
      },
      {
        services: [web.externalLocal().build()],
        endpointSlices: remote,
        flows: [
          flow(
            plan,
            'on localhost, none local',
            ['localhost', plan.localhost, 30080],
            onLocalhost(masqueraded(plan.at(plan.endpoint(2), 8080))),
          ),
          flow(plan, 'from outside, none local', ['external', plan.node, 30080], DROP),
        ],
      },
      {
        services: [web.externalLocal().build()],
        endpointSlices: [],
        flows: [
          flow(plan, 'on localhost, no endpoints', ['localhost', plan.localhost, 30080], onLocalhost(REJECT)),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'NodePorts of a network that the node is not in answer nowhere',
        features: [27, 32],
        node: { nodePortAddresses: [isIpv4 ? '100.64.0.0/10' : '2001:db8:ffff::/48'] },
      },
      {
        services: [web.build()],
        endpointSlices: local,
        flows: [
          flow(plan, 'from outside', ['external', plan.node, 30080], NONE),
          flow(plan, 'ClusterIP', ['pod', plan.clusterIp, 80], kept(plan.at(e1, 8080))),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'The older of two Services has the NodePort, and its number is free under another protocol',
        features: [26],
      },
      {
        services: [
          aService('ns/young')
            .clusterIp(plan.otherClusterIp)
            .createdAt('2026-02-01T00:00:00Z')
            .nodePort(80, 30080)
            .build(),
          web.build(),
          aService('ns/udp').clusterIp(plan.unallocated).nodePort(80, 30080, 'UDP').build(),
        ],
        endpointSlices: [
          ...local,
          aSlice('ns/young').port(8080).endpoint(plan.endpoint(2)).build(),
          aSlice('ns/udp').port(8080, { protocol: 'UDP' }).endpoint(plan.endpoint(3)).build(),
        ],
        flows: [
          flow(plan, 'TCP', ['external', plan.node, 30080], reached),
          flow(plan, 'UDP', ['external', plan.node, 30080], {
            want: masqueraded(plan.at(plan.endpoint(3), 8080)),
            protocol: 'UDP',
          }),
        ],
      },
      {
        services: [
          aService('ns/young')
            .clusterIp(plan.otherClusterIp)
            .createdAt('2026-02-01T00:00:00Z')
            .nodePort(80, 30080)
            .build(),
        ],
        endpointSlices: [aSlice('ns/young').port(8080).endpoint(plan.endpoint(2)).build()],
        flows: [
          flow(
            plan,
            'the younger takes over',
            ['external', plan.node, 30080],
            masqueraded(plan.at(plan.endpoint(2), 8080)),
          ),
        ],
      },
    ),
  ]
}
