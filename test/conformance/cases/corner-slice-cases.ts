/** Corners of what slices say: absent conditions, ports by name, other families, shared endpoints. */
import { aService, aSlice } from '../../support/builders.ts'
import { type AddressPlan, THIS_NODE } from '../address-plan.ts'
import type { ApiObject, ConformanceCase } from '../conformance-case.ts'
import { aCase, DROP, flow, kept, masqueraded, REJECT } from './case-parts.ts'

export function cornerSliceCases(plan: AddressPlan): ConformanceCase[] {
  const [e1, e2, e3] = [plan.endpoint(1), plan.endpoint(2), plan.endpoint(3)]
  const web = aService('ns/web').clusterIp(plan.clusterIp).nodePort(80, 30080)
  const toCluster = (name: string, ...endpoints: readonly string[]) =>
    flow(plan, name, ['pod', plan.clusterIp, 80], endpoints.length === 0 ? REJECT : kept(...endpoints))
  const raw = (...endpoints: readonly Readonly<Record<string, unknown>>[]): ApiObject => ({
    ...aSlice('ns/web').port(8080).endpoint(e1).build(),
    endpoints,
  })
  const withPorts = (...ports: readonly unknown[]): ApiObject => ({
    ...aSlice('ns/web').endpoint(e1, { on: THIS_NODE }).build(),
    ports,
  })
  const step = (endpointSlices: readonly ApiObject[], ...flows: ReturnType<typeof toCluster>[]) => ({
    services: [web.build()],
    endpointSlices,
    flows,
  })
  const otherFamily = plan.family === 'IPv4' ? 'fd00:10:180::77' : '10.180.0.77'
  return [
    aCase(
      plan,
      { name: 'Conditions that a slice does not know are ready, serving and not terminating', features: [7] },
      step(
        [raw({ addresses: [e1] }, { addresses: [e2], conditions: {} })],
        toCluster('none given', plan.at(e1, 8080), plan.at(e2, 8080)),
      ),
      step(
        [
          raw(
            { addresses: [e1], conditions: { ready: false, terminating: true } },
            { addresses: [e2], conditions: { ready: false } },
          ),
        ],
        toCluster('serving not given', plan.at(e1, 8080)),
      ),
      step(
        [raw({ addresses: [] }, { addresses: [e2, e3] })],
        toCluster('the first address alone', plan.at(e2, 8080)),
      ),
    ),
    aCase(
      plan,
      {
        name: 'Ports match by name and protocol, and their numbers may differ from slice to slice',
        features: [7, 10],
      },
      step(
        [
          aSlice('ns/web').port(8080).endpoint(e1).build(),
          aSlice('ns/web', '2').port(9090).endpoint(e2).build(),
        ],
        toCluster('two numbers', plan.at(e1, 8080), plan.at(e2, 9090)),
      ),
      step([aSlice('ns/web').port(8080, { name: 'http' }).endpoint(e1).build()], toCluster('another name')),
      step(
        [aSlice('ns/web').port(8080, { protocol: 'UDP' }).endpoint(e1).build()],
        toCluster('another protocol'),
      ),
      step(
        [withPorts({ name: '', protocol: 'TCP', port: null }, { protocol: 'TCP', port: 8080 })],
        toCluster('no number, no name'),
      ),
    ),
    aCase(
      plan,
      {
        name: 'Slices of the other family and of host names are not this family’s endpoints',
        features: [2, 4],
      },
      step(
        [
          aSlice('ns/web').port(8080).endpoint(otherFamily).build(),
          { ...aSlice('ns/web', '2').port(8080).endpoint('web.example').build(), addressType: 'FQDN' },
        ],
        toCluster('nothing here'),
      ),
      step([aSlice('ns/web').port(8080).endpoint(e1).build()], toCluster('its own', plan.at(e1, 8080))),
    ),
    aCase(
      plan,
      { name: 'An endpoint on the host’s network is reached like a pod', features: [11, 22] },
      {
        services: [web.externalLocal().build()],
        endpointSlices: [aSlice('ns/web').port(8080).endpoint(plan.node, { on: THIS_NODE }).build()],
        flows: [
          flow(plan, 'pod to the ClusterIP', ['pod', plan.clusterIp, 80], kept(plan.at(plan.node, 8080))),
          flow(
            plan,
            'outside to the NodePort',
            ['external', plan.otherNodeAddress, 30080],
            kept(plan.at(plan.node, 8080)),
          ),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'An endpoint that names no node is on no node', features: [22, 24] },
      {
        services: [web.externalLocal().build()],
        endpointSlices: [aSlice('ns/web').port(8080).endpoint(e1).build()],
        flows: [
          flow(plan, 'outside to the NodePort', ['external', plan.node, 30080], DROP),
          toCluster('ClusterIP', plan.at(e1, 8080)),
        ],
      },
    ),
    aCase(
      plan,
      { name: 'Services may share endpoints, and one that goes leaves the others', features: [10, 11] },
      {
        services: [web.build(), aService('ns/twin').clusterIp(plan.otherClusterIp).port(80).build()],
        endpointSlices: [
          aSlice('ns/web').port(8080).endpoint(e1, { on: THIS_NODE }).build(),
          aSlice('ns/twin').port(8080).endpoint(e1, { on: THIS_NODE }).endpoint(e2).build(),
        ],
        flows: [
          toCluster('the one', plan.at(e1, 8080)),
          flow(
            plan,
            'the other',
            ['pod', plan.otherClusterIp, 80],
            kept(plan.at(e1, 8080), plan.at(e2, 8080)),
          ),
        ],
      },
      {
        services: [aService('ns/twin').clusterIp(plan.otherClusterIp).port(80).build()],
        endpointSlices: [aSlice('ns/twin').port(8080).endpoint(e1, { on: THIS_NODE }).build()],
        flows: [
          flow(plan, 'after the first is gone', ['pod', plan.otherClusterIp, 80], kept(plan.at(e1, 8080))),
          flow(plan, 'and to itself', ['local-endpoint', plan.otherClusterIp, 80], {
            want: masqueraded(plan.at(e1, 8080)),
            sourceIp: e1,
          }),
        ],
      },
    ),
  ]
}
