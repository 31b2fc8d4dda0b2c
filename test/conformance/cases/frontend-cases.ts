/** Addresses that packets arrive at: ClusterIP, external IP, load balancer IP, NodePort, and those that are none. */
import { aService, aSlice } from '../../support/builders.ts'
import { type AddressPlan, THIS_NODE } from '../address-plan.ts'
import type { ConformanceCase } from '../conformance-case.ts'
import { aCase, DROP, flow, kept, masqueraded, NONE, REJECT } from './case-parts.ts'

export function frontendCases(plan: AddressPlan): ConformanceCase[] {
  const [e1, e2] = [plan.endpoint(1), plan.endpoint(2)]
  const slice = aSlice('ns/web')
    .port(8080)
    .endpoint(e1, { on: THIS_NODE })
    .endpoint(e2, { on: 'other-node' })
    .build()
  const both = [plan.at(e1, 8080), plan.at(e2, 8080)]
  const unusedPort = { want: NONE, expectBy: { nftables: REJECT, ipvs: REJECT } }
  const unallocated = { want: NONE, expectBy: { nftables: DROP } }
  return [
    aCase(
      plan,
      { name: 'ClusterIP reaches ready endpoints and keeps pod addresses', features: [11, 14, 43, 44] },
      {
        services: [aService('ns/web').clusterIp(plan.clusterIp).port(80).build()],
        endpointSlices: [slice],
        flows: [
          flow(plan, 'from a pod', ['pod', plan.clusterIp, 80], kept(...both)),
          flow(plan, 'from the node', ['node', plan.clusterIp, 80], masqueraded(...both)),
          flow(plan, 'from outside', ['external', plan.clusterIp, 80], masqueraded(...both)),
          flow(plan, 'to a port the Service does not have', ['pod', plan.clusterIp, 81], unusedPort),
          flow(plan, 'to a protocol the port does not have', ['pod', plan.clusterIp, 80], {
            ...unusedPort,
            protocol: 'UDP',
          }),
          flow(plan, 'to an address nobody has', ['pod', plan.unallocated, 80], unallocated),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'UDP and SCTP are forwarded like TCP', features: [6] },
      {
        services: [
          aService('ns/dns')
            .clusterIp(plan.clusterIp)
            .port(53, { name: 'udp', protocol: 'UDP' })
            .port(53, { name: 'tcp' })
            .port(5000, { name: 'sctp', protocol: 'SCTP' })
            .build(),
        ],
        endpointSlices: [
          aSlice('ns/dns')
            .port(1053, { name: 'udp', protocol: 'UDP' })
            .port(1054, { name: 'tcp' })
            .port(1055, { name: 'sctp', protocol: 'SCTP' })
            .endpoint(e1, { on: THIS_NODE })
            .build(),
        ],
        flows: [
          flow(plan, 'UDP', ['pod', plan.clusterIp, 53], { want: kept(plan.at(e1, 1053)), protocol: 'UDP' }),
          flow(plan, 'TCP of the same port number', ['pod', plan.clusterIp, 53], kept(plan.at(e1, 1054))),
          flow(plan, 'SCTP', ['pod', plan.clusterIp, 5000], {
            want: kept(plan.at(e1, 1055)),
            protocol: 'SCTP',
          }),
        ],
      },
    ),
    aCase(
      plan,
      {
        name: 'External IPs and load balancer IPs masquerade everybody under policy Cluster',
        features: [18, 19, 21],
      },
      {
        services: [
          aService('ns/web')
            .clusterIp(plan.clusterIp)
            .nodePort(80, 30080)
            .loadBalancer(plan.loadBalancerIp)
            .externalIp(plan.externalIp, plan.localExternalIp)
            .build(),
        ],
        endpointSlices: [slice],
        flows: [
          flow(plan, 'outside to the external IP', ['external', plan.externalIp, 80], masqueraded(...both)),
          flow(plan, 'pod to the external IP', ['pod', plan.externalIp, 80], masqueraded(...both)),
          flow(plan, 'node to the external IP', ['node', plan.externalIp, 80], masqueraded(...both)),
          flow(
            plan,
            'outside to an external IP of the node',
            ['external', plan.localExternalIp, 80],
            masqueraded(...both),
          ),
          flow(
            plan,
            'outside to the load balancer',
            ['external', plan.loadBalancerIp, 80],
            masqueraded(...both),
          ),
          flow(plan, 'pod to the load balancer', ['pod', plan.loadBalancerIp, 80], masqueraded(...both)),
          flow(plan, 'outside to the NodePort', ['external', plan.node, 30080], masqueraded(...both)),
          flow(plan, 'to the Service port on a node address', ['external', plan.otherNodeAddress, 80], NONE),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'A load balancer IP of mode Proxy is left to the load balancer', features: [19, 20] },
      {
        services: [
          aService('ns/web')
            .clusterIp(plan.clusterIp)
            .port(80)
            .loadBalancer(
              { ip: plan.loadBalancerIp, ipMode: 'Proxy' },
              { hostname: 'lb.example' },
              { ip: plan.otherLoadBalancerIp },
            )
            .build(),
        ],
        endpointSlices: [slice],
        flows: [
          flow(plan, 'mode Proxy', ['pod', plan.loadBalancerIp, 80], NONE),
          flow(plan, 'no mode', ['pod', plan.otherLoadBalancerIp, 80], masqueraded(...both)),
        ],
      },
      {
        services: [
          aService('ns/web').clusterIp(plan.clusterIp).port(80).loadBalancer(plan.loadBalancerIp).build(),
        ],
        endpointSlices: [slice],
        flows: [
          flow(plan, 'after the change to VIP', ['pod', plan.loadBalancerIp, 80], masqueraded(...both)),
          flow(plan, 'an address that was given back', ['pod', plan.otherLoadBalancerIp, 80], NONE),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'Services without endpoints are refused at once', features: [13, 25] },
      {
        services: [
          aService('ns/web')
            .clusterIp(plan.clusterIp)
            .nodePort(80, 30080)
            .loadBalancer(plan.loadBalancerIp)
            .externalIp(plan.externalIp)
            .build(),
        ],
        endpointSlices: [],
        flows: [
          flow(plan, 'ClusterIP', ['pod', plan.clusterIp, 80], REJECT),
          flow(plan, 'ClusterIP from the node', ['node', plan.clusterIp, 80], REJECT),
          flow(plan, 'external IP', ['external', plan.externalIp, 80], REJECT),
          flow(plan, 'load balancer', ['external', plan.loadBalancerIp, 80], REJECT),
          flow(plan, 'load balancer from the node', ['node', plan.loadBalancerIp, 80], {
            want: REJECT,
            expectBy: { iptables: NONE },
          }),
          flow(plan, 'NodePort', ['external', plan.node, 30080], REJECT),
        ],
      },
      {
        services: [aService('ns/web').clusterIp(plan.clusterIp).port(80).build()],
        endpointSlices: [slice],
        flows: [flow(plan, 'after the first endpoints', ['pod', plan.clusterIp, 80], kept(...both))],
      },
    ),
    aCase(
      plan,
      { name: 'Services that are not ours are left alone', features: [1, 3] },
      {
        services: [
          aService('ns/web').clusterIp(plan.clusterIp).port(80).build(),
          aService('ns/named').clusterIp(plan.otherClusterIp).port(80).with({ type: 'ExternalName' }).build(),
        ],
        endpointSlices: [slice],
        flows: [
          flow(plan, 'ours', ['pod', plan.clusterIp, 80], kept(...both)),
          flow(plan, 'of type ExternalName', ['pod', plan.otherClusterIp, 80], unallocated),
        ],
      },
      {
        services: [
          aService('ns/web')
            .clusterIp(plan.clusterIp)
            .port(80)
            .label('service.kubernetes.io/service-proxy-name', '')
            .build(),
        ],
        endpointSlices: [slice],
        flows: [flow(plan, 'after another proxy took it over', ['pod', plan.clusterIp, 80], unallocated)],
      },
    ),
    aCase(
      plan,
      { name: 'Without a detector nobody is a pod', features: [15, 17], node: { detectorCidr: undefined } },
      {
        services: [aService('ns/web').clusterIp(plan.clusterIp).nodePort(80, 30080).externalLocal().build()],
        endpointSlices: [slice],
        flows: [
          flow(plan, 'pod to the ClusterIP', ['pod', plan.clusterIp, 80], kept(...both)),
          flow(plan, 'pod to the NodePort', ['pod', plan.node, 30080], kept(plan.at(e1, 8080))),
          flow(plan, 'node to the NodePort', ['node', plan.node, 30080], masqueraded(...both)),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'masqueradeAll concerns the ClusterIP alone', features: [16], node: { masqueradeAll: true } },
      {
        services: [aService('ns/web').clusterIp(plan.clusterIp).nodePort(80, 30080).externalLocal().build()],
        endpointSlices: [slice],
        flows: [
          flow(plan, 'pod to the ClusterIP', ['pod', plan.clusterIp, 80], masqueraded(...both)),
          flow(plan, 'pod to the NodePort', ['pod', plan.node, 30080], kept(...both)),
          flow(plan, 'outside to the NodePort', ['external', plan.node, 30080], kept(plan.at(e1, 8080))),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'An endpoint that meets itself is masqueraded', features: [41] },
      {
        services: [aService('ns/web').clusterIp(plan.clusterIp).nodePort(80, 30080).externalLocal().build()],
        endpointSlices: [aSlice('ns/web').port(8080).endpoint(e1, { on: THIS_NODE }).build()],
        flows: [
          flow(plan, 'through the ClusterIP', ['local-endpoint', plan.clusterIp, 80], {
            want: masqueraded(plan.at(e1, 8080)),
            sourceIp: e1,
          }),
          flow(plan, 'through the NodePort', ['local-endpoint', plan.node, 30080], {
            want: masqueraded(plan.at(e1, 8080)),
            sourceIp: e1,
          }),
          flow(plan, 'another pod is not', ['pod', plan.clusterIp, 80], kept(plan.at(e1, 8080))),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'ClientIP affinity keeps a client at one endpoint', features: [42] },
      {
        services: [aService('ns/web').clusterIp(plan.clusterIp).nodePort(80, 30080).affinity(300).build()],
        endpointSlices: [slice],
        flows: [
          flow(plan, 'ClusterIP', ['pod', plan.clusterIp, 80], { want: kept(...both), affinitySeconds: 300 }),
          flow(plan, 'NodePort', ['external', plan.node, 30080], {
            want: masqueraded(...both),
            affinitySeconds: 300,
          }),
        ],
      },
    ),
  ]
}
