/** Which addresses answer on NodePorts. */
import { aService, aSlice } from '../../support/builders.ts'
import { type AddressPlan, THIS_NODE } from '../address-plan.ts'
import type { ConformanceCase } from '../conformance-case.ts'
import { aCase, flow, masqueraded, NONE, REJECT } from './case-parts.ts'

export function nodePortCases(plan: AddressPlan): ConformanceCase[] {
  const e1 = plan.endpoint(1)
  const services = [aService('ns/web').clusterIp(plan.clusterIp).nodePort(80, 30080).build()]
  const endpointSlices = [aSlice('ns/web').port(8080).endpoint(e1, { on: THIS_NODE }).build()]
  const reached = masqueraded(plan.at(e1, 8080))
  const isIpv4 = plan.family === 'IPv4'
  return [
    aCase(
      plan,
      { name: 'NodePorts answer on every address of the node', features: [26, 30] },
      {
        services,
        endpointSlices,
        flows: [
          flow(plan, 'primary address', ['external', plan.node, 30080], reached),
          flow(plan, 'second address', ['external', plan.otherNodeAddress, 30080], reached),
          flow(plan, 'from the node itself', ['node', plan.otherNodeAddress, 30080], reached),
          flow(plan, 'from a pod', ['pod', plan.node, 30080], reached),
          flow(plan, 'on localhost, which is off', ['localhost', plan.localhost, 30080], NONE),
          flow(plan, 'an address that is not the node’s', ['pod', plan.externalIp, 30080], NONE),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'NodePorts answer on the listed networks alone',
        features: [27, 32],
        node: { nodePortAddresses: [plan.nodeRange] },
      },
      {
        services,
        endpointSlices,
        flows: [
          flow(plan, 'inside', ['external', plan.node, 30080], reached),
          flow(plan, 'outside', ['external', plan.otherNodeAddress, 30080], NONE),
        ],
      },
      {
        services,
        endpointSlices: [],
        flows: [
          flow(plan, 'inside, no endpoints', ['external', plan.node, 30080], REJECT),
          flow(plan, 'outside, no endpoints', ['external', plan.otherNodeAddress, 30080], NONE),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'NodePorts answer on the primary address alone',
        features: [28],
        node: { nodePortAddresses: 'primary' },
      },
      {
        services,
        endpointSlices,
        flows: [
          flow(plan, 'primary address', ['external', plan.node, 30080], reached),
          flow(plan, 'second address', ['external', plan.otherNodeAddress, 30080], NONE),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'NodePorts on localhost', features: [29, 30], node: { localhostNodePorts: true } },
      {
        services,
        endpointSlices,
        flows: [
          flow(plan, 'on localhost', ['localhost', plan.localhost, 30080], {
            want: isIpv4 ? reached : NONE,
            expectBy: isIpv4 ? { ipvs: NONE } : {},
          }),
        ],
      },
    ),
  ]
}
