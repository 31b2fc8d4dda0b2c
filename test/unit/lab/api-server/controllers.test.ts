import { type ApiObject, specOf, statusOf } from '../../../../src/lab/api-server/api-object.ts'
import { ApiServer } from '../../../../src/lab/api-server/api-server.ts'
import { type Json, type JsonObject, valueAt } from '../../../../src/lab/api-server/json.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { DEPLOYMENTS, ENDPOINT_SLICES, PODS, SERVICES } from '../../../../src/lab/api-server/resources.ts'

interface PodFacts {
  readonly ip?: string
  readonly ips?: readonly string[]
  readonly ready?: boolean
  readonly node?: string
  readonly labels?: Record<string, string>
  readonly phase?: string
}

function pod(name: string, facts: PodFacts = {}): ApiObject {
  const { ip, ready = true, node, labels = { app: 'web' }, phase = 'Running' } = facts
  const ips = facts.ips ?? (ip === undefined ? [] : [ip])
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels },
    spec: {
      ...(node === undefined ? {} : { nodeName: node }),
      containers: [{ name: 'c', image: 'web:1', ports: [{ name: 'http', containerPort: 8080 }] }],
    },
    status: {
      phase,
      ...(ips[0] === undefined ? {} : { podIP: ips[0], podIPs: ips.map((one) => ({ ip: one })) }),
      conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
    },
  }
}

function service(spec: JsonObject = {}): ApiObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default', labels: { team: 'shop' } },
    spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 80, targetPort: 'http' }], ...spec },
  }
}

function node(name: string, zone: string): ApiObject {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'topology.kubernetes.io/zone': zone } },
  }
}

interface Endpoint {
  readonly addresses: readonly string[]
  readonly conditions: JsonObject
}

function slices(server: ApiServer): readonly ApiObject[] {
  server.settle()
  return server.list(ENDPOINT_SLICES, 'default')
}

function endpoints(server: ApiServer): readonly Endpoint[] {
  return slices(server).flatMap((slice) => slice['endpoints'] as unknown as readonly Endpoint[])
}

function addresses(server: ApiServer): readonly string[] {
  return endpoints(server).flatMap((endpoint) => endpoint.addresses)
}

describe('EndpointSliceController', () => {
  it('writes Pods that come within the batch period together', async () => {
    const clock = new ManualClock(1000)
    const server = new ApiServer({ clock, endpointUpdatesBatchMs: 500 })
    server.create(service())
    const revision = (): string | undefined => slices(server)[0]?.metadata.resourceVersion
    const before = revision()
    server.create(pod('p1', { ip: '10.0.0.1' }))
    await clock.advance(400)
    server.create(pod('p2', { ip: '10.0.0.2' }))
    expect(revision()).toBe(before)
    await clock.advance(100)
    expect(addresses(server)).toEqual(['10.0.0.1', '10.0.0.2'])
  })

  it('describes the Pods of a Service in a slice of its own', () => {
    const server = new ApiServer()
    server.load([
      node('n1', 'a'),
      pod('p1', { ip: '10.0.0.1', node: 'n1' }),
      pod('x', { ip: '10.0.0.9', labels: {} }),
    ])
    const { uid } = server.create(service()).metadata
    const [slice, ...others] = slices(server)
    expect(others).toEqual([])
    expect(slice).toMatchObject({
      addressType: 'IPv4',
      metadata: {
        labels: {
          team: 'shop',
          'kubernetes.io/service-name': 'web',
          'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
        },
        ownerReferences: [{ kind: 'Service', name: 'web', uid }],
      },
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints: [
        {
          addresses: ['10.0.0.1'],
          conditions: { ready: true, serving: true, terminating: false },
          nodeName: 'n1',
          zone: 'a',
          targetRef: { kind: 'Pod', namespace: 'default', name: 'p1' },
        },
      ],
    })
    expect(slice?.metadata.name).toMatch(/^web-[a-z0-9]{5}$/)
    expect(slice?.metadata.annotations?.['endpoints.kubernetes.io/last-change-trigger-time']).toMatch(
      /^\d{4}-/,
    )
    expect(slice?.metadata.labels).not.toHaveProperty(['service.kubernetes.io/headless'])
  })

  it('works at the end of the tick by itself', async () => {
    const server = new ApiServer()
    server.load([pod('p1', { ip: '10.0.0.1' }), service()])
    await Promise.resolve()
    expect(server.list(ENDPOINT_SLICES)).toHaveLength(1)
  })

  test.each([
    {
      name: 'ready',
      ready: true,
      deleted: false,
      spec: {},
      want: { ready: true, serving: true, terminating: false },
    },
    {
      name: 'not ready',
      ready: false,
      deleted: false,
      spec: {},
      want: { ready: false, serving: false, terminating: false },
    },
    {
      name: 'terminating',
      ready: true,
      deleted: true,
      spec: {},
      want: { ready: false, serving: true, terminating: true },
    },
    {
      name: 'terminating and not ready',
      ready: false,
      deleted: true,
      spec: {},
      want: { ready: false, serving: false, terminating: true },
    },
    {
      name: 'published though not ready',
      ready: false,
      deleted: false,
      spec: { publishNotReadyAddresses: true },
      want: { ready: true, serving: false, terminating: false },
    },
  ])('says of a Pod that is $name: $want', ({ ready, deleted, spec, want }) => {
    const server = new ApiServer({ gracefulPods: true })
    server.load([service(spec), pod('p1', { ip: '10.0.0.1', node: 'n1', ready })])
    if (deleted) server.delete(PODS, 'p1', 'default')
    expect(endpoints(server).map((endpoint) => endpoint.conditions)).toEqual([want])
  })

  it('leaves out Pods without an address and Pods that have ended', () => {
    const server = new ApiServer()
    server.load([
      service(),
      pod('p1'),
      pod('p2', { ip: '10.0.0.2', phase: 'Failed' }),
      pod('p3', { ip: '10.0.0.3', phase: 'Succeeded' }),
    ])
    expect(addresses(server)).toEqual([])
    expect(slices(server)).toHaveLength(1)
  })

  it('follows Pods that come, change and go', () => {
    const server = new ApiServer()
    server.load([service(), pod('p1', { ip: '10.0.0.1' })])
    expect(addresses(server)).toEqual(['10.0.0.1'])
    server.create(pod('p2', { ip: '10.0.0.2' }))
    expect(addresses(server)).toEqual(['10.0.0.1', '10.0.0.2'])
    server.delete(PODS, 'p1', 'default')
    expect(addresses(server)).toEqual(['10.0.0.2'])
    server.update(pod('p2', { labels: { app: 'other' } }))
    expect(addresses(server)).toEqual([])
    server.delete(SERVICES, 'web', 'default')
    expect(slices(server)).toEqual([])
  })

  it('puts at most 100 endpoints into a slice and changes only the slices concerned', () => {
    const server = new ApiServer()
    server.load([service(), ...Array.from({ length: 250 }, (_, i) => pod(`p${i}`, { ip: `10.0.1.${i}` }))])
    const before = slices(server)
    expect(before.map((slice) => (slice['endpoints'] as Json[]).length).sort()).toEqual([100, 100, 50])
    server.delete(PODS, 'p3', 'default')
    const versions = new Set(before.map((slice) => slice.metadata.resourceVersion))
    expect(slices(server).filter((slice) => !versions.has(slice.metadata.resourceVersion))).toHaveLength(1)
    expect(addresses(server)).toHaveLength(249)
  })

  it('writes one kind of slice per family and marks those of headless Services', () => {
    const server = new ApiServer({ serviceCidrs: ['10.96.0.0/16', 'fd00::/112'] })
    server.load([pod('p1', { ips: ['10.0.0.1', 'fd01::1'] })])
    server.create(service({ clusterIP: 'None', ipFamilyPolicy: 'RequireDualStack' }))
    expect(
      slices(server)
        .map((slice) => slice['addressType'])
        .sort(),
    ).toEqual(['IPv4', 'IPv6'])
    expect([...addresses(server)].sort()).toEqual(['10.0.0.1', 'fd01::1'])
    for (const slice of slices(server))
      expect(slice.metadata.labels).toHaveProperty(['service.kubernetes.io/headless'], '')
  })

  test.each([
    ['PreferClose', { forZones: [{ name: 'a' }] }],
    ['PreferSameZone', { forZones: [{ name: 'a' }] }],
    ['PreferSameNode', { forZones: [{ name: 'a' }], forNodes: [{ name: 'n1' }] }],
  ])('hints as trafficDistribution %s wants it', (trafficDistribution, hints) => {
    const server = new ApiServer()
    server.load([
      node('n1', 'a'),
      pod('p1', { ip: '10.0.0.1', node: 'n1' }),
      service({ trafficDistribution }),
    ])
    expect(endpoints(server)).toMatchObject([{ hints }])
  })

  it('leaves slices of other managers alone', () => {
    const server = new ApiServer()
    const own: ApiObject = {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'mine', namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.9.9.9'] }],
      ports: [{ port: 80 }],
    }
    server.load([own, service({ selector: {} })])
    server.delete(SERVICES, 'web', 'default')
    expect(addresses(server)).toEqual(['10.9.9.9'])
  })
})

describe('DeploymentController', () => {
  function deployment(
    replicas: number,
    annotations: Record<string, string> = {},
    strategy?: JsonObject,
  ): ApiObject {
    return {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'web', namespace: 'default' },
      spec: {
        replicas,
        selector: { matchLabels: { app: 'web' } },
        template: {
          metadata: { labels: { app: 'web' }, annotations },
          spec: { containers: [{ name: 'c', image: 'web:1' }] },
        },
        ...(strategy === undefined ? {} : { strategy }),
      },
    }
  }

  function pods(server: ApiServer): readonly ApiObject[] {
    server.settle()
    return server.list(PODS, 'default')
  }

  /** What a kubelet does: every Pod that is not ready becomes so. The result is the smallest and largest number of ready Pods. */
  function run(server: ApiServer): { least: number; most: number } {
    const seen: number[] = []
    for (let i = 0; i < 100; i++) {
      const all = pods(server)
      seen.push(all.filter((one) => valueAt(one, ['status', 'phase']) === 'Running').length)
      const waiting = all.find((one) => valueAt(one, ['status', 'phase']) !== 'Running')
      if (waiting === undefined) return { least: Math.min(...seen), most: Math.max(...seen) }
      const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] }
      server.update({ ...waiting, status }, { subresource: 'status' })
    }
    throw new Error('The rollout does not end')
  }

  it('creates Pods from its template and deletes what is too much', () => {
    const server = new ApiServer()
    server.create(deployment(3))
    expect(pods(server).map((one) => one.metadata.labels?.['app'])).toEqual(['web', 'web', 'web'])
    run(server)
    server.settle()
    expect(statusOf(server.get(DEPLOYMENTS, 'web', 'default'))).toMatchObject({
      observedGeneration: 1,
      replicas: 3,
      updatedReplicas: 3,
      readyReplicas: 3,
      availableReplicas: 3,
      conditions: [
        { type: 'Available', status: 'True' },
        { type: 'Progressing', status: 'True', reason: 'NewReplicaSetAvailable' },
      ],
    })
    server.update(deployment(1))
    expect(pods(server)).toHaveLength(1)
    server.delete(DEPLOYMENTS, 'web', 'default')
    expect(pods(server)).toEqual([])
  })

  it('replaces a Pod that was deleted', () => {
    const server = new ApiServer()
    server.create(deployment(2))
    const [first] = pods(server)
    server.delete(PODS, first?.metadata.name ?? '', 'default')
    expect(pods(server)).toHaveLength(2)
  })

  it('replaces Pods one after another when the template changes, always serving', () => {
    const server = new ApiServer()
    server.create(deployment(3))
    run(server)
    const before = new Set(pods(server).map((one) => one.metadata.uid))
    server.update(deployment(3, { 'kubectl.kubernetes.io/restartedAt': 'now' }))
    const { least, most } = run(server)
    expect(least).toBeGreaterThanOrEqual(3)
    expect(most).toBeLessThanOrEqual(4)
    expect(pods(server)).toHaveLength(3)
    expect(pods(server).filter((one) => before.has(one.metadata.uid))).toEqual([])
  })

  it('ends all Pods before it starts new ones with strategy Recreate', () => {
    const server = new ApiServer({ gracefulPods: true })
    server.create(deployment(2, {}, { type: 'Recreate' }))
    for (const one of pods(server)) server.update({ ...one, spec: { ...specOf(one), nodeName: 'n1' } })
    server.update(deployment(2, { v: '2' }, { type: 'Recreate' }))
    const ending = pods(server)
    expect(ending.every((one) => one.metadata.deletionTimestamp !== undefined)).toBe(true)
    for (const { metadata } of ending)
      server.registry.delete(
        { definition: PODS, namespace: 'default', name: metadata.name },
        { gracePeriodSeconds: 0 },
      )
    expect(pods(server)).toHaveLength(2)
    expect(pods(server).every((one) => one.metadata.annotations?.['v'] === '2')).toBe(true)
  })
})
