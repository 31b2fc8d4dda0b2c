import { type ApiObject } from '../../../../src/lab/api-server/api-object.ts'
import { ApiServer } from '../../../../src/lab/api-server/api-server.ts'
import { humanDuration } from '../../../../src/lab/api-server/human-duration.ts'
import { type Json, type JsonObject, valueAt } from '../../../../src/lab/api-server/json.ts'
import { type ResourceDefinition, RESOURCES, resourceOf } from '../../../../src/lab/api-server/resources.ts'
import { columnsOf } from '../../../../src/lab/api-server/table-columns.ts'
import { type Clock } from '../../../../src/runtime/clock.ts'
import { ask, TestWatch } from './api-client.ts'

const NOW = Date.parse('2026-01-02T03:04:05Z')
const clock: Clock = {
  now: () => NOW,
  monotonic: () => 0,
  sleep: (_ms, signal) =>
    new Promise((_resolve, reject) => {
      signal?.addEventListener('abort', () => {
        reject(new Error('stopped'))
      })
    }),
}

let server: ApiServer

beforeEach(async () => {
  server = new ApiServer({ clock })
  await server.start()
})

afterEach(() => server.stop())

describe('humanDuration()', () => {
  test.each([
    [-1, '0s'],
    [0, '0s'],
    [119, '119s'],
    [120, '2m'],
    [310, '5m10s'],
    [600, '10m'],
    [3 * 3600, '3h'],
    [3 * 3600 + 120, '3h2m'],
    [9 * 3600 + 120, '9h'],
    [2 * 86400 + 4 * 3600, '2d4h'],
    [30 * 86400, '30d'],
    [3 * 365 * 86400 + 86400, '3y1d'],
    [9 * 365 * 86400, '9y'],
  ])('prints %d seconds as %s', (seconds, want) => {
    expect(humanDuration(seconds * 1000)).toBe(want)
  })
})

describe('columnsOf()', () => {
  function cells(object: JsonObject): Readonly<Record<string, string>> {
    const whole = {
      ...object,
      metadata: { name: 'x', ...(object['metadata'] as object) },
    } as unknown as ApiObject
    const columns = columnsOf(resourceOf(whole) as ResourceDefinition)
    return Object.fromEntries(columns.map(({ name, cell }) => [name, cell(whole, NOW)]))
  }
  const service = (spec: JsonObject, status: Json = {}) => ({
    apiVersion: 'v1',
    kind: 'Service',
    spec,
    status,
  })
  const pod = (status: JsonObject, metadata: JsonObject = {}) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: { containers: [{}, {}], nodeName: 'n1' },
    status,
  })
  const node = (spec: JsonObject, status: string) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { labels: { 'node-role.kubernetes.io/control-plane': '' } },
    spec,
    status: {
      conditions: [{ type: 'Ready', status }],
      addresses: [{ type: 'InternalIP', address: '192.0.2.1' }],
      nodeInfo: { kubeletVersion: 'v1.36.2' },
    },
  })
  const slice = (addresses: readonly string[]) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    addressType: 'IPv4',
    ports: [{ port: 80 }, { port: 443 }],
    endpoints: addresses.map((address) => ({ addresses: [address] })),
  })

  test.each<[string, JsonObject, Readonly<Record<string, string>>]>([
    [
      'a ClusterIP Service',
      service({
        type: 'ClusterIP',
        clusterIP: '10.0.0.1',
        ports: [{ port: 80, protocol: 'TCP' }],
        selector: { a: 'b' },
      }),
      { 'Cluster-IP': '10.0.0.1', 'External-IP': '<none>', 'Port(s)': '80/TCP', Selector: 'a=b' },
    ],
    [
      'a pending load balancer',
      service({ type: 'LoadBalancer', ports: [{ port: 80, nodePort: 30080, protocol: 'UDP' }] }),
      { 'External-IP': '<pending>', 'Port(s)': '80:30080/UDP' },
    ],
    [
      'a load balancer with addresses',
      service(
        { type: 'LoadBalancer', externalIPs: ['3.3.3.3'] },
        { loadBalancer: { ingress: [{ ip: '1.1.1.1' }, { hostname: 'lb' }] } },
      ),
      { 'External-IP': '1.1.1.1,lb,3.3.3.3', 'Port(s)': '<none>' },
    ],
    [
      'an ExternalName',
      service({ type: 'ExternalName', externalName: 'a.b' }),
      { 'Cluster-IP': '<none>', 'External-IP': 'a.b' },
    ],
    [
      'a slice',
      slice(['1.1.1.1', '1.1.1.2', '1.1.1.3', '1.1.1.4', '1.1.1.5']),
      { Ports: '80,443', Endpoints: '1.1.1.1,1.1.1.2,1.1.1.3 + 2 more...' },
    ],
    ['an empty slice', slice([]), { Endpoints: '<unset>' }],
    [
      'a running Pod',
      pod({
        phase: 'Running',
        podIP: '10.1.0.1',
        containerStatuses: [
          { ready: true, restartCount: 2 },
          { ready: false, restartCount: 1 },
        ],
      }),
      { Ready: '1/2', Status: 'Running', Restarts: '3', IP: '10.1.0.1', Node: 'n1' },
    ],
    [
      'a Pod that waits',
      pod({ phase: 'Pending', containerStatuses: [{ state: { waiting: { reason: 'CrashLoopBackOff' } } }] }),
      { Status: 'CrashLoopBackOff' },
    ],
    [
      'a Pod that is deleted',
      pod({ phase: 'Running' }, { deletionTimestamp: '2026-01-02T03:04:00Z' }),
      { Status: 'Terminating' },
    ],
    [
      'a ready node',
      node({}, 'True'),
      { Status: 'Ready', Roles: 'control-plane', Version: 'v1.36.2', 'Internal-IP': '192.0.2.1' },
    ],
    ['a cordoned node', node({ unschedulable: true }, 'False'), { Status: 'NotReady,SchedulingDisabled' }],
    [
      'an object with an age',
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { creationTimestamp: '2026-01-02T03:04:00Z' },
        data: { a: '' },
      },
      { Age: '5s', Data: '1' },
    ],
    [
      'an event',
      {
        apiVersion: 'v1',
        kind: 'Event',
        involvedObject: { kind: 'Pod', name: 'p' },
        lastTimestamp: '2026-01-02T03:03:05Z',
        reason: 'R',
        message: 'm\n',
        type: 'Normal',
      },
      { 'Last Seen': '60s', Object: 'pod/p', Message: 'm', Reason: 'R', Type: 'Normal' },
    ],
  ])('shows %s', (_name, object, want) => {
    expect(cells(object)).toMatchObject(want)
  })
})

describe('Table answers', () => {
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json'

  it('are given for lists, single objects and watch events to who asks for them', async () => {
    const list = await ask(server, '/api/v1/namespaces?limit=1', { accept })
    expect(list.body).toMatchObject({
      kind: 'Table',
      apiVersion: 'meta.k8s.io/v1',
      metadata: { remainingItemCount: 3 },
      columnDefinitions: [{ name: 'Name', format: 'name', priority: 0 }, { name: 'Status' }, { name: 'Age' }],
      rows: [
        {
          cells: ['default', 'Active', '0s'],
          object: { kind: 'PartialObjectMetadata', metadata: { name: 'default' } },
        },
      ],
    })
    const one = await ask(server, '/api/v1/namespaces/default?includeObject=Object', { accept })
    expect(valueAt(one.body, ['rows'])).toMatchObject([{ object: { kind: 'Namespace' } }])
    const response = await fetch(`${server.url}/api/v1/namespaces?watch=true&timeoutSeconds=9`, {
      headers: { accept },
    })
    const first = await response.body?.getReader().read()
    const line =
      Buffer.from(first?.value ?? [])
        .toString()
        .split('\n')[0] ?? ''
    expect(JSON.parse(line)).toMatchObject({ type: 'ADDED', object: { kind: 'Table', rows: [{}] } })
  })
})

describe('Discovery', () => {
  it('lists the same resources in both forms', async () => {
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json'
    const found: string[] = []
    for (const path of ['/api', '/apis']) {
      const { body, headers } = await ask(server, path, { accept })
      expect(headers.get('content-type')).toContain('as=APIGroupDiscoveryList')
      for (const group of body.items)
        for (const version of group['versions'] as readonly { resources: readonly { resource: string }[] }[])
          found.push(
            ...version.resources.map(
              ({ resource }) => `${(group.metadata as { name?: string }).name ?? ''}/${resource}`,
            ),
          )
    }
    const plain: string[] = []
    for (const group of ['', 'apps', 'discovery.k8s.io', 'events.k8s.io', 'networking.k8s.io']) {
      const { body } = await ask(server, group === '' ? '/api/v1' : `/apis/${group}/v1`)
      const names = (body['resources'] as readonly { name: string }[]).map(({ name }) => name)
      plain.push(...names.filter((name) => !name.includes('/')).map((name) => `${group}/${name}`))
    }
    expect(found.sort()).toEqual(plain.sort())
    expect(found).toHaveLength(RESOURCES.length)
  })

  it('answers 304 to who has the document', async () => {
    const { headers } = await ask(server, '/apis')
    const again = await fetch(`${server.url}/apis`, {
      headers: { 'if-none-match': headers.get('etag') ?? '' },
    })
    expect(again.status).toBe(304)
  })

  it('offers the scale subresource of Deployments', async () => {
    const { body } = await ask(server, '/apis/apps/v1')
    expect(body['resources']).toContainEqual(
      expect.objectContaining({ name: 'deployments/scale', kind: 'Scale', group: 'autoscaling' }),
    )
  })
})

describe('OpenAPI', () => {
  it('says merge keys and resolves every reference', async () => {
    const { body } = await ask(server, '/openapi/v3')
    for (const { serverRelativeURL } of Object.values(
      body['paths'] as Record<string, { serverRelativeURL: string }>,
    )) {
      const document = (await ask(server, serverRelativeURL)).body
      const schemas = valueAt(document, ['components', 'schemas']) as JsonObject
      const references = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)]
      expect(references.length).toBeGreaterThan(0)
      for (const [, name = ''] of references) expect(schemas).toHaveProperty([name])
    }
    const core = (await ask(server, '/openapi/v3/api/v1')).body
    expect(
      valueAt(core, ['components', 'schemas', 'io.k8s.v1.ServiceSpec', 'properties', 'ports']),
    ).toMatchObject({
      type: 'array',
      'x-kubernetes-patch-merge-key': 'port',
      'x-kubernetes-list-map-keys': ['port', 'protocol'],
    })
    expect((await ask(server, '/openapi/v3/apis/nothing/v1')).code).toBe(404)
  })
})

describe('Bookmarks', () => {
  it('carry the current revision', async () => {
    const tick: (() => void)[] = []
    const ticking: Clock = {
      ...clock,
      sleep: (ms, signal) =>
        ms === 60_000 ? new Promise((resolve) => tick.push(resolve)) : clock.sleep(ms, signal),
    }
    const own = new ApiServer({ clock: ticking })
    await own.start()
    const from = own.store.revision
    const watch = await TestWatch.open(
      own,
      `/api/v1/nodes?watch=true&allowWatchBookmarks=true&resourceVersion=${from}`,
    )
    own.create({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', namespace: 'default' } })
    for (const resolve of tick.splice(0)) resolve()
    expect(await watch.next()).toMatchObject({
      type: 'BOOKMARK',
      object: { kind: 'Node', metadata: { resourceVersion: `${from + 1}` } },
    })
    await own.stop()
  })
})
