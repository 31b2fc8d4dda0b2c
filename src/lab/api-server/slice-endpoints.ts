/** From a Service and its Pods to the endpoints of its EndpointSlices (pure). */
import { type Family } from '../../net/ip.ts'
import { type ApiObject, specOf, statusOf } from './api-object.ts'
import { arrayOrEmpty, type Json, type JsonObject, objectOrEmpty, withoutUndefined } from './json.ts'
import { isPodReady } from './pod-summary.ts'
import { familyOfText, type ServicePortSpec, type ServiceSpec, serviceSpecOf } from './service-spec.ts'

export interface SliceEndpoint {
  /** The Pod's uid and address: the same endpoint over time. */
  readonly identity: string
  readonly value: JsonObject
}

/** Endpoints that share address type and port numbers, and so may share a slice. */
export interface EndpointGroup {
  readonly addressType: Family
  readonly ports: readonly JsonObject[]
  readonly endpoints: readonly SliceEndpoint[]
}

/** The groups of a Service; every family has at least one, which may be empty. */
export function endpointGroups(
  service: ApiObject,
  pods: readonly ApiObject[],
  zoneOfNode: (nodeName: string) => string | undefined,
): readonly EndpointGroup[] {
  const spec = serviceSpecOf(service)
  return (spec.ipFamilies ?? ['IPv4']).flatMap((family) => {
    const groups = new Map<string, { ports: readonly JsonObject[]; endpoints: SliceEndpoint[] }>()
    for (const pod of pods) {
      const address = podAddress(pod, family)
      if (address === undefined || hasEnded(pod)) continue
      const ports = (spec.ports ?? []).flatMap((port) => resolvedPort(port, pod))
      const name = JSON.stringify(ports)
      const group = groups.get(name) ?? { ports, endpoints: [] }
      groups.set(name, group)
      const zone = zoneOfNode(nodeNameOf(pod) ?? '')
      group.endpoints.push(endpointOf(service, pod, { address, zone }))
    }
    if (groups.size === 0) return [{ addressType: family, ports: [], endpoints: [] }]
    return [...groups.values()].map((group) => ({ addressType: family, ...group }))
  })
}

function hasEnded(pod: ApiObject): boolean {
  const { phase } = statusOf(pod)
  return phase === 'Succeeded' || phase === 'Failed'
}

function podAddress(pod: ApiObject, family: Family): string | undefined {
  const { podIP, podIPs } = statusOf(pod)
  const all = [...arrayOrEmpty(podIPs).map((entry) => objectOrEmpty(entry)['ip']), podIP]
  return all.find((ip): ip is string => typeof ip === 'string' && familyOfText(ip) === family)
}

function nodeNameOf(pod: ApiObject): string | undefined {
  const { nodeName } = specOf(pod)
  return typeof nodeName === 'string' && nodeName !== '' ? nodeName : undefined
}

/** The port of the slice; nothing where the Pod has no container port of the name that the Service targets. */
function resolvedPort(port: ServicePortSpec, pod: ApiObject): readonly JsonObject[] {
  const { name = '', protocol = 'TCP', targetPort = port.port, appProtocol } = port
  const number = typeof targetPort === 'number' ? targetPort : namedPort(pod, targetPort, protocol)
  if (number === undefined) return []
  return [withoutUndefined({ name, port: number, protocol, appProtocol })]
}

function namedPort(pod: ApiObject, name: string, protocol: string): number | undefined {
  const containers = arrayOrEmpty(specOf(pod)['containers']).map(objectOrEmpty)
  const ports = containers.flatMap((container) => arrayOrEmpty(container['ports']).map(objectOrEmpty))
  const found = ports.find((port) => port['name'] === name && (port['protocol'] ?? 'TCP') === protocol)
  return typeof found?.['containerPort'] === 'number' ? found['containerPort'] : undefined
}

function endpointOf(
  service: ApiObject,
  pod: ApiObject,
  place: { readonly address: string; readonly zone: string | undefined },
): SliceEndpoint {
  const { address, zone } = place
  const spec = serviceSpecOf(service)
  const serving = isPodReady(pod)
  const terminating = pod.metadata.deletionTimestamp !== undefined
  const ready = spec.publishNotReadyAddresses === true || (serving && !terminating)
  const { name, namespace, uid } = pod.metadata
  const { hostname, subdomain } = specOf(pod)
  const nodeName = nodeNameOf(pod)
  const value = withoutUndefined({
    addresses: [address],
    conditions: { ready, serving, terminating },
    hostname: subdomain === service.metadata.name ? hostname : undefined,
    nodeName,
    zone,
    hints: ready ? hintsOf(spec, { nodeName, zone }) : undefined,
    targetRef: withoutUndefined({ kind: 'Pod', name, namespace, uid }),
  })
  return { identity: `${uid ?? name} ${address}`, value }
}

/** PreferSameZone (PreferClose is its former name) hints at the endpoint's zone, PreferSameNode at its node too. */
function hintsOf(
  spec: ServiceSpec,
  place: { readonly nodeName: string | undefined; readonly zone: string | undefined },
): Json | undefined {
  const { trafficDistribution } = spec
  if (trafficDistribution === undefined) return undefined
  const forZones = place.zone === undefined ? undefined : [{ name: place.zone }]
  const isSameNode = trafficDistribution === 'PreferSameNode' && place.nodeName !== undefined
  const forNodes = isSameNode ? [{ name: place.nodeName }] : undefined
  if (forZones === undefined && forNodes === undefined) return undefined
  return withoutUndefined({ forZones, forNodes })
}
