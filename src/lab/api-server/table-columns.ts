/** The columns that `kubectl get` shows of each resource. */
import { type ApiObject, specOf, statusOf } from './api-object.ts'
import { humanDuration } from './human-duration.ts'
import { arrayOrEmpty, type Json, type JsonObject, objectOrEmpty, valueAt } from './json.ts'
import { podReadiness, podRestarts, podStatusText } from './pod-summary.ts'
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  ENDPOINT_SLICES,
  ENDPOINTS,
  EVENTS,
  NAMESPACES,
  NODES,
  PODS,
  REPLICA_SETS,
  type ResourceDefinition,
  SERVICE_CIDRS,
  SERVICES,
  storageOf,
} from './resources.ts'
import { clusterIpsOf, type ServicePortSpec, serviceSpecOf } from './service-spec.ts'

export interface Column {
  readonly name: string
  /** Shown by `-o wide` only. */
  readonly wide: boolean
  readonly cell: (object: ApiObject, now: number) => string
}

type Cell = Column['cell']

const NONE = '<none>'

function column(name: string, cell: Cell): Column {
  return { name, wide: false, cell }
}

function wideColumn(name: string, cell: Cell): Column {
  return { name, wide: true, cell }
}

function text(value: Json | undefined, whenAbsent = NONE): string {
  if (value === undefined || value === null || value === '') return whenAbsent
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function joined(values: readonly string[], whenEmpty = NONE): string {
  return values.length === 0 ? whenEmpty : values.join(',')
}

function since(time: Json | undefined, now: number): string {
  return typeof time === 'string' ? humanDuration(now - Date.parse(time)) : '<unknown>'
}

/** The first three, and how many more there are. */
function shortened(values: readonly string[], whenEmpty: string): string {
  if (values.length <= 3) return joined(values, whenEmpty)
  return `${values.slice(0, 3).join(',')} + ${values.length - 3} more...`
}

const name = column('Name', (object) => object.metadata.name)
const age = column('Age', (object, now) => since(object.metadata.creationTimestamp, now))

function specCell(...path: readonly string[]): Cell {
  return (object) => text(valueAt(specOf(object), path))
}

function statusCell(...path: readonly string[]): Cell {
  return (object) => text(valueAt(statusOf(object), path))
}

function statusCount(field: string): Cell {
  return (object) => text(statusOf(object)[field], '0')
}

function selectorText(selector: Json | undefined): string {
  return joined(Object.entries(objectOrEmpty(selector)).map(([key, value]) => `${key}=${text(value, '')}`))
}

function containerCell(field: string): Cell {
  return (object) => {
    const containers = arrayOrEmpty(valueAt(specOf(object), ['template', 'spec', 'containers']))
    return joined(containers.map((container) => text(objectOrEmpty(container)[field])))
  }
}

function servicePort(port: ServicePortSpec): string {
  const node = (port.nodePort ?? 0) === 0 ? '' : `:${port.nodePort ?? 0}`
  return `${port.port}${node}/${port.protocol ?? 'TCP'}`
}

function externalAddresses(service: ApiObject): string {
  const { type, externalIPs = [], externalName } = serviceSpecOf(service)
  if (type === 'ExternalName') return text(externalName)
  if (type !== 'LoadBalancer') return joined(externalIPs)
  const ingress = arrayOrEmpty(valueAt(statusOf(service), ['loadBalancer', 'ingress']))
  const addresses = ingress.map((one) => text(objectOrEmpty(one)['ip'] ?? objectOrEmpty(one)['hostname']))
  return joined([...addresses, ...externalIPs], '<pending>')
}

function nodeAddress(type: string): Cell {
  return (node) => {
    const addresses = arrayOrEmpty(statusOf(node)['addresses']).map(objectOrEmpty)
    return text(addresses.find((address) => address['type'] === type)?.['address'])
  }
}

function nodeStatus(node: ApiObject): string {
  const conditions = arrayOrEmpty(statusOf(node)['conditions']).map(objectOrEmpty)
  const ready = conditions.find((condition) => condition['type'] === 'Ready')
  const state = ready === undefined ? 'Unknown' : ready['status'] === 'True' ? 'Ready' : 'NotReady'
  return specOf(node)['unschedulable'] === true ? `${state},SchedulingDisabled` : state
}

const ROLE = 'node-role.kubernetes.io/'

function nodeRoles(node: ApiObject): string {
  const labels = Object.keys(node.metadata.labels ?? {})
  return joined(labels.filter((label) => label.startsWith(ROLE)).map((label) => label.slice(ROLE.length)))
}

function involved(event: ApiObject): string {
  const { kind, name: objectName } = objectOrEmpty(event['involvedObject'])
  return `${text(kind, '').toLowerCase()}/${text(objectName, '')}`
}

function lastSeen(event: ApiObject): Json | undefined {
  const series: JsonObject = objectOrEmpty(event['series'])
  return (
    series['lastObservedTime'] ??
    event['lastTimestamp'] ??
    event['eventTime'] ??
    event.metadata.creationTimestamp
  )
}

function endpointAddresses(slice: ApiObject): readonly string[] {
  return arrayOrEmpty(slice['endpoints']).flatMap((endpoint) =>
    arrayOrEmpty(objectOrEmpty(endpoint)['addresses']).map((address) => text(address)),
  )
}

function subsetAddresses(endpoints: ApiObject): readonly string[] {
  return arrayOrEmpty(endpoints['subsets']).flatMap((subset) => {
    const ports = arrayOrEmpty(objectOrEmpty(subset)['ports']).map((port) =>
      text(objectOrEmpty(port)['port']),
    )
    return arrayOrEmpty(objectOrEmpty(subset)['addresses']).flatMap((address) =>
      ports.map((port) => `${text(objectOrEmpty(address)['ip'])}:${port}`),
    )
  })
}

const COLUMNS: ReadonlyMap<ResourceDefinition, readonly Column[]> = new Map([
  [
    SERVICES,
    [
      name,
      column('Type', specCell('type')),
      column('Cluster-IP', (service) => joined(clusterIpsOf(serviceSpecOf(service)).slice(0, 1))),
      column('External-IP', externalAddresses),
      column('Port(s)', (service) => joined((serviceSpecOf(service).ports ?? []).map(servicePort))),
      age,
      wideColumn('Selector', (service) => selectorText(specOf(service)['selector'])),
    ],
  ],
  [
    ENDPOINT_SLICES,
    [
      name,
      column('AddressType', (slice) => text(slice['addressType'])),
      column('Ports', (slice) =>
        shortened(
          arrayOrEmpty(slice['ports']).map((port) => text(objectOrEmpty(port)['port'], '*')),
          '<unset>',
        ),
      ),
      column('Endpoints', (slice) => shortened(endpointAddresses(slice), '<unset>')),
      age,
    ],
  ],
  [
    PODS,
    [
      name,
      column('Ready', podReadiness),
      column('Status', podStatusText),
      column('Restarts', (pod) => `${podRestarts(pod)}`),
      age,
      wideColumn('IP', statusCell('podIP')),
      wideColumn('Node', specCell('nodeName')),
      wideColumn('Nominated Node', statusCell('nominatedNodeName')),
      wideColumn('Readiness Gates', () => NONE),
    ],
  ],
  [
    NODES,
    [
      name,
      column('Status', nodeStatus),
      column('Roles', nodeRoles),
      age,
      column('Version', statusCell('nodeInfo', 'kubeletVersion')),
      wideColumn('Internal-IP', nodeAddress('InternalIP')),
      wideColumn('External-IP', nodeAddress('ExternalIP')),
      wideColumn('OS-Image', statusCell('nodeInfo', 'osImage')),
      wideColumn('Kernel-Version', statusCell('nodeInfo', 'kernelVersion')),
      wideColumn('Container-Runtime', statusCell('nodeInfo', 'containerRuntimeVersion')),
    ],
  ],
  [
    DEPLOYMENTS,
    [
      name,
      column(
        'Ready',
        (object) => `${statusCount('readyReplicas')(object, 0)}/${specCell('replicas')(object, 0)}`,
      ),
      column('Up-to-date', statusCount('updatedReplicas')),
      column('Available', statusCount('availableReplicas')),
      age,
      wideColumn('Containers', containerCell('name')),
      wideColumn('Images', containerCell('image')),
      wideColumn('Selector', (object) => selectorText(valueAt(specOf(object), ['selector', 'matchLabels']))),
    ],
  ],
  [
    REPLICA_SETS,
    [
      name,
      column('Desired', specCell('replicas')),
      column('Current', statusCount('replicas')),
      column('Ready', statusCount('readyReplicas')),
      age,
    ],
  ],
  [
    EVENTS,
    [
      column('Last Seen', (event, now) => since(lastSeen(event), now)),
      column('Type', (event) => text(event['type'])),
      column('Reason', (event) => text(event['reason'])),
      column('Object', involved),
      wideColumn('Subobject', (event) => text(valueAt(event['involvedObject'], ['fieldPath']), '')),
      wideColumn('Source', (event) =>
        text(valueAt(event['source'], ['component']) ?? event['reportingComponent'], ''),
      ),
      column('Message', (event) => text(event['message'], '').trim()),
      wideColumn('First Seen', (event, now) =>
        since(event['firstTimestamp'] ?? event.metadata.creationTimestamp, now),
      ),
      wideColumn('Count', (event) => text(event['count'], '1')),
      wideColumn('Name', (event) => event.metadata.name),
    ],
  ],
  [NAMESPACES, [name, column('Status', statusCell('phase')), age]],
  [
    CONFIG_MAPS,
    [name, column('Data', (object) => `${Object.keys(objectOrEmpty(object['data'])).length}`), age],
  ],
  [ENDPOINTS, [name, column('Endpoints', (object) => shortened(subsetAddresses(object), NONE)), age]],
  [
    SERVICE_CIDRS,
    [
      name,
      column('CIDRs', (object) => joined(arrayOrEmpty(specOf(object)['cidrs']).map((cidr) => text(cidr)))),
      age,
    ],
  ],
])

export function columnsOf(definition: ResourceDefinition): readonly Column[] {
  return COLUMNS.get(storageOf(definition)) ?? [name, age]
}
