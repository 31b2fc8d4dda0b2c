/** Who may connect to load balancer addresses. */
import { aService, aSlice } from '../../support/builders.ts'
import { type AddressPlan, THIS_NODE } from '../address-plan.ts'
import type { ConformanceCase } from '../conformance-case.ts'
import { aCase, DROP, flow, kept, masqueraded, REJECT } from './case-parts.ts'

export function sourceRangeCases(plan: AddressPlan): ConformanceCase[] {
  const e1 = plan.endpoint(1)
  const base = aService('ns/web')
    .clusterIp(plan.clusterIp)
    .nodePort(80, 30080)
    .loadBalancer(plan.loadBalancerIp)
  const endpointSlices = [aSlice('ns/web').port(8080).endpoint(e1, { on: THIS_NODE }).build()]
  const reached = masqueraded(plan.at(e1, 8080))
  const outsider = { sourceIp: plan.clientOutsideRange }
  const otherFamily = plan.family === 'IPv4' ? '2600:5200::/33' : '203.0.113.0/25'
  return [
    aCase(
      plan,
      { name: 'Source ranges let in whom they name, at the load balancer address alone', features: [34, 38] },
      {
        services: [base.sourceRanges(` ${plan.clientRange} `, 'not-a-network').build()],
        endpointSlices,
        flows: [
          flow(plan, 'inside', ['external', plan.loadBalancerIp, 80], reached),
          flow(plan, 'outside', ['external', plan.loadBalancerIp, 80], { want: DROP, ...outsider }),
          flow(plan, 'a pod', ['pod', plan.loadBalancerIp, 80], DROP),
          flow(plan, 'the node', ['node', plan.loadBalancerIp, 80], DROP),
          flow(plan, 'outside, NodePort', ['external', plan.node, 30080], { want: reached, ...outsider }),
          flow(plan, 'ClusterIP', ['pod', plan.clusterIp, 80], kept(plan.at(e1, 8080))),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'Source ranges hold without endpoints', features: [35] },
      {
        services: [base.sourceRanges(plan.clientRange).build()],
        endpointSlices: [],
        flows: [
          flow(plan, 'inside', ['external', plan.loadBalancerIp, 80], REJECT),
          flow(plan, 'outside', ['external', plan.loadBalancerIp, 80], { want: DROP, ...outsider }),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'Source ranges that allow everybody or name another family are none', features: [36] },
      {
        services: [base.sourceRanges(plan.clientRange, plan.everybody).build()],
        endpointSlices,
        flows: [
          flow(plan, 'with a range of length 0', ['external', plan.loadBalancerIp, 80], {
            want: reached,
            ...outsider,
          }),
        ],
      },
      {
        services: [base.sourceRanges(otherFamily).build()],
        endpointSlices,
        flows: [
          flow(plan, 'of the other family', ['external', plan.loadBalancerIp, 80], {
            want: reached,
            ...outsider,
          }),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'Source ranges that cover the node let it in by its load balancer address too',
        features: [37],
      },
      {
        services: [base.sourceRanges(plan.nodeRange).build()],
        endpointSlices,
        flows: [
          flow(plan, 'node', ['node', plan.loadBalancerIp, 80], reached),
          flow(
            plan,
            'node with the load balancer address',
            ['node-owning-source-address', plan.loadBalancerIp, 80],
            {
              want: reached,
              sourceIp: plan.loadBalancerIp,
            },
          ),
          flow(plan, 'outside', ['external', plan.loadBalancerIp, 80], DROP),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'An external IP does not pass by the source ranges of the same load balancer address',
        features: [34, 38],
      },
      {
        services: [base.sourceRanges(plan.clientRange).externalIp(plan.loadBalancerIp).build()],
        endpointSlices,
        flows: [
          flow(plan, 'inside', ['external', plan.loadBalancerIp, 80], reached),
          flow(plan, 'outside', ['external', plan.loadBalancerIp, 80], { want: DROP, ...outsider }),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'Source ranges extend to the NodePort on request', features: [38] },
      {
        services: [base.sourceRanges(plan.clientRange).wish('source-ranges-on-nodeport', 'true').build()],
        endpointSlices,
        flows: [
          flow(plan, 'inside', ['external', plan.node, 30080], reached),
          flow(plan, 'outside', ['external', plan.node, 30080], { want: DROP, ...outsider }),
        ],
      },
    ),
  ]
}
