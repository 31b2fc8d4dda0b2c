import { request } from 'node:https'
import { parse } from 'yaml'
import { type ApiObject } from '../../../../src/lab/api-server/api-object.ts'
import { ApiServer, type ApiServerOptions } from '../../../../src/lab/api-server/api-server.ts'
import { CONFIG_MAPS, SERVICES } from '../../../../src/lab/api-server/resources.ts'
import { ask, TestWatch } from './api-client.ts'

const running: ApiServer[] = []

async function startServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const server = new ApiServer({ raw: true, ...options })
  await server.start()
  running.push(server)
  return server
}

afterEach(async () => {
  for (const server of running.splice(0)) await server.stop()
})

const CONFIG_MAPS_PATH = '/api/v1/namespaces/default/configmaps'

function configMap(
  name: string,
  fields: { labels?: Record<string, string>; data?: Record<string, string> } = {},
) {
  const { labels = {}, data = {} } = fields
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'default', labels },
    data,
  } satisfies ApiObject
}

describe('ApiServer verbs', () => {
  it('creates, reads, replaces and deletes an object', async () => {
    const server = await startServer()
    const created = await ask(server, CONFIG_MAPS_PATH, { method: 'POST', body: configMap('a') })
    expect(created.code).toBe(201)
    expect(created.body.metadata).toMatchObject({ name: 'a', namespace: 'default' })
    expect(created.body.metadata.uid).toMatch(/^[0-9a-f-]{36}$/)
    const changed = { ...created.body, data: { key: 'value' } }
    const updated = await ask(server, `${CONFIG_MAPS_PATH}/a`, { method: 'PUT', body: changed })
    expect(updated).toMatchObject({ code: 200, body: { data: { key: 'value' } } })
    const stale = await ask(server, `${CONFIG_MAPS_PATH}/a`, { method: 'PUT', body: created.body })
    expect(stale).toMatchObject({ code: 409, body: { kind: 'Status', reason: 'Conflict' } })
    const deleted = await ask(server, `${CONFIG_MAPS_PATH}/a`, { method: 'DELETE' })
    expect(deleted).toMatchObject({ code: 200, body: { status: 'Success' } })
    const gone = await ask(server, `${CONFIG_MAPS_PATH}/a`)
    expect(gone).toMatchObject({
      code: 404,
      body: {
        reason: 'NotFound',
        message: 'configmaps "a" not found',
        details: { name: 'a', kind: 'configmaps' },
      },
    })
  })

  it('answers an update without a difference with the version that is there', async () => {
    const server = await startServer()
    const { body } = await ask(server, CONFIG_MAPS_PATH, { method: 'POST', body: configMap('a') })
    const again = await ask(server, `${CONFIG_MAPS_PATH}/a`, { method: 'PUT', body })
    expect(again.body.metadata.resourceVersion).toBe(body.metadata.resourceVersion)
  })

  it('patches in process and over HTTP alike', async () => {
    const server = await startServer()
    server.create(configMap('a', { data: { x: '1' } }))
    const ref = { definition: CONFIG_MAPS, namespace: 'default', name: 'a' }
    expect(server.patch(ref, { data: { y: '2' } })).toMatchObject({ data: { x: '1', y: '2' } })
    const type = 'application/merge-patch+json'
    const options = { method: 'PATCH', body: { data: { x: null } }, type }
    expect((await ask(server, `${CONFIG_MAPS_PATH}/a`, options)).body).toMatchObject({ data: { y: '2' } })
    expect(server.get(CONFIG_MAPS, 'a', 'default')['data']).toEqual({ y: '2' })
    expect(await ask(server, `${CONFIG_MAPS_PATH}/b`, options)).toMatchObject({ code: 404 })
  })

  it('serves an event of either API in the form of the other', async () => {
    const server = await startServer()
    const event = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: 'e', namespace: 'default' },
      regarding: { kind: 'Node', name: 'n1' },
      reportingController: 'fairlead',
      note: 'hello',
    }
    const path = '/namespaces/default/events'
    const posted = await ask(server, `/apis/events.k8s.io/v1${path}`, { method: 'POST', body: event })
    expect(posted).toMatchObject({ code: 201, body: event })
    const core = await ask(server, `/api/v1${path}/e`)
    expect(core.body).toMatchObject({
      apiVersion: 'v1',
      involvedObject: { kind: 'Node', name: 'n1' },
      reportingComponent: 'fairlead',
      message: 'hello',
    })
    const newer = await ask(server, `/apis/events.k8s.io/v1${path}`)
    expect(newer.body.items).toMatchObject([{ note: 'hello', regarding: { name: 'n1' } }])
  })

  it('lets proxies before Kubernetes 1.21 read and watch EndpointSlices in their form', async () => {
    const server = await startServer()
    server.create({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'web-1', namespace: 'default' },
      addressType: 'IPv4',
      endpoints: [{ addresses: ['10.1.0.1'], conditions: { ready: true }, nodeName: 'n1', zone: 'z1' }],
      ports: [{ name: '', port: 80, protocol: 'TCP' }],
    })
    const path = '/apis/discovery.k8s.io/v1beta1/endpointslices'
    const { body } = await ask(server, path)
    expect(body).toMatchObject({ kind: 'EndpointSliceList', apiVersion: 'discovery.k8s.io/v1beta1' })
    const topology = { 'kubernetes.io/hostname': 'n1', 'topology.kubernetes.io/zone': 'z1' }
    expect(body.items).toMatchObject([{ endpoints: [{ addresses: ['10.1.0.1'], topology }] }])
    const watch = await TestWatch.open(server, `${path}?watch=true&resourceVersion=0`)
    expect(await watch.next()).toMatchObject({
      type: 'ADDED',
      object: { apiVersion: 'discovery.k8s.io/v1beta1', endpoints: [{ topology }] },
    })
    watch.close()
    const one = '/apis/discovery.k8s.io/v1beta1/namespaces/default/endpointslices/web-1'
    expect(await ask(server, one, { method: 'DELETE' })).toMatchObject({ code: 405 })
  })

  it('keeps an object with finalizers until the last one has gone', async () => {
    const server = await startServer()
    const held = configMap('a')
    server.create({ ...held, metadata: { ...held.metadata, finalizers: ['x'] } })
    server.delete(CONFIG_MAPS, 'a', 'default')
    const marked = server.get(CONFIG_MAPS, 'a', 'default')
    expect(marked.metadata.deletionTimestamp).toBeDefined()
    server.update({ ...marked, metadata: { ...marked.metadata, finalizers: [] } })
    expect(server.list(CONFIG_MAPS)).toEqual([])
  })

  it('stores nothing for a dry run', async () => {
    const server = await startServer()
    const dryRun = await ask(server, `${CONFIG_MAPS_PATH}?dryRun=All`, {
      method: 'POST',
      body: configMap('a'),
    })
    expect(dryRun.code).toBe(201)
    expect(server.list(CONFIG_MAPS)).toEqual([])
  })

  it('refuses a second object of the same name with 409 AlreadyExists', async () => {
    const server = await startServer()
    server.create(configMap('a'))
    const again = await ask(server, CONFIG_MAPS_PATH, { method: 'POST', body: configMap('a') })
    expect(again).toMatchObject({ code: 409, body: { reason: 'AlreadyExists' } })
  })

  it('lists in pages that show one revision while objects change', async () => {
    const server = await startServer()
    server.load(['c', 'a', 'e', 'b', 'd'].map((name) => configMap(name)))
    const first = await ask(server, `${CONFIG_MAPS_PATH}?limit=2`)
    expect(first.body.items.map((item) => item.metadata.name)).toEqual(['a', 'b'])
    expect(first.body.metadata.remainingItemCount).toBe(3)
    server.delete(CONFIG_MAPS, 'd', 'default')
    server.create(configMap('c2'))
    const token = encodeURIComponent(first.body.metadata.continue ?? '')
    const second = await ask(server, `${CONFIG_MAPS_PATH}?limit=2&continue=${token}`)
    expect(second.body.items.map((item) => item.metadata.name)).toEqual(['c', 'd'])
    expect(second.body.metadata.resourceVersion).toBe(first.body.metadata.resourceVersion)
    server.faults.compact()
    const late = await ask(server, `${CONFIG_MAPS_PATH}?limit=2&continue=${token}`)
    expect(late).toMatchObject({ code: 410, body: { reason: 'Expired' } })
  })

  it('deletes a collection by its selector only', async () => {
    const server = await startServer()
    server.load([configMap('a', { labels: { x: '1' } }), configMap('b')])
    await ask(server, `${CONFIG_MAPS_PATH}?labelSelector=x%3D1`, { method: 'DELETE' })
    expect(server.list(CONFIG_MAPS, 'default').map((object) => object.metadata.name)).toEqual(['b'])
  })

  it('asks for a resource that is new to it with 404 and for an unknown method with 405', async () => {
    const server = await startServer()
    expect((await ask(server, '/apis/batch/v1/jobs')).code).toBe(404)
    expect((await ask(server, '/api/v1/services', { method: 'PUT', body: {} })).code).toBe(405)
  })

  it('refuses a body in protobuf with 415 and one that is no JSON with 400', async () => {
    const server = await startServer()
    const type = 'application/vnd.kubernetes.protobuf'
    expect((await ask(server, CONFIG_MAPS_PATH, { method: 'POST', body: 'k8s', type })).code).toBe(415)
    expect((await ask(server, CONFIG_MAPS_PATH, { method: 'POST', body: '{' })).code).toBe(400)
  })

  it('refuses a list that is to be newer than its data, as after a loss of it', async () => {
    const server = await startServer()
    const newer = server.store.revision + 100
    const answer = await ask(server, `${CONFIG_MAPS_PATH}?resourceVersion=${newer}`)
    expect(answer).toMatchObject({ code: 504, body: { reason: 'Timeout' } })
    expect(answer.headers.get('retry-after')).toBe('1')
  })
})

describe('ApiServer watches', () => {
  it('send what was missed since a revision, then each change', async () => {
    const server = await startServer()
    server.create(configMap('a'))
    const { revision } = server.store
    server.create(configMap('b'))
    const watch = await TestWatch.open(server, `${CONFIG_MAPS_PATH}?watch=true&resourceVersion=${revision}`)
    expect(await watch.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'b' } } })
    server.update(configMap('a', { data: { k: 'v' } }))
    expect(await watch.next()).toMatchObject({ type: 'MODIFIED', object: { data: { k: 'v' } } })
    server.delete(CONFIG_MAPS, 'a', 'default')
    const deleted = await watch.next()
    expect(deleted).toMatchObject({ type: 'DELETED', object: { metadata: { name: 'a' } } })
    expect(deleted.object.metadata.resourceVersion).toBe(`${server.store.revision}`)
  })

  it('begin with everything that exists and a bookmark when initial events are asked for', async () => {
    const server = await startServer()
    server.load([configMap('a'), configMap('b')])
    const query =
      'watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true'
    const watch = await TestWatch.open(server, `${CONFIG_MAPS_PATH}?${query}`)
    expect(await watch.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'a' } } })
    expect(await watch.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'b' } } })
    expect(await watch.next()).toMatchObject({
      type: 'BOOKMARK',
      object: {
        kind: 'ConfigMap',
        metadata: {
          annotations: { 'k8s.io/initial-events-end': 'true' },
          resourceVersion: `${server.store.revision}`,
        },
      },
    })
  })

  it('refuse initial events with 422 where the server is to be an older one', async () => {
    const server = await startServer({ watchList: false })
    const path = `${CONFIG_MAPS_PATH}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan`
    expect(await ask(server, path)).toMatchObject({ code: 422, body: { reason: 'Invalid' } })
  })

  it('tell of an object that leaves the selector as DELETED and of one that enters it as ADDED', async () => {
    const server = await startServer()
    server.create(configMap('a', { labels: { keep: '1' }, data: { k: '1' } }))
    const from = server.store.revision
    const watch = await TestWatch.open(
      server,
      `${CONFIG_MAPS_PATH}?watch=true&resourceVersion=${from}&labelSelector=keep`,
    )
    server.update(configMap('a', { data: { k: '2' } }))
    const left = await watch.next()
    expect(left).toMatchObject({ type: 'DELETED', object: { data: { k: '1' } } })
    expect(left.object.metadata.resourceVersion).toBe(`${from + 1}`)
    server.update(configMap('a', { labels: { keep: '1' } }))
    expect((await watch.next()).type).toBe('ADDED')
  })

  it('answer 410 from a revision that was compacted away', async () => {
    const server = await startServer()
    const { revision } = server.store
    server.create(configMap('a'))
    server.faults.compact()
    const path = `${CONFIG_MAPS_PATH}?watch=true&resourceVersion=${revision}`
    expect(await ask(server, path)).toMatchObject({ code: 410, body: { reason: 'Expired' } })
  })

  it('wait for a revision that is still to come', async () => {
    const server = await startServer()
    const from = server.store.revision + 1
    const watch = await TestWatch.open(server, `${CONFIG_MAPS_PATH}?watch=true&resourceVersion=${from}`)
    server.create(configMap('known-to-the-client'))
    server.create(configMap('new'))
    expect((await watch.next()).object.metadata.name).toBe('new')
  })

  it('end after timeoutSeconds', async () => {
    const server = await startServer()
    const watch = await TestWatch.open(server, `${CONFIG_MAPS_PATH}?watch=true&timeoutSeconds=0`)
    expect(await watch.end()).toBeUndefined()
  })

  it('forget changes beyond the history limit', async () => {
    const server = await startServer({ historyLimit: 4 })
    const { revision } = server.store
    for (let i = 0; i < 6; i++) server.create(configMap(`c${i}`))
    const path = (from: number) => `${CONFIG_MAPS_PATH}?watch=true&resourceVersion=${from}`
    expect((await ask(server, path(revision))).code).toBe(410)
    const watch = await TestWatch.open(server, path(server.store.revision - 1))
    expect((await watch.next()).object.metadata.name).toBe('c5')
  })
})

describe('ApiServer access', () => {
  it('answers 401 without the token and serves with it', async () => {
    const server = await startServer({ token: 'secret' })
    expect(await ask(server, '/api/v1/services')).toMatchObject({
      code: 401,
      body: { kind: 'Status', reason: 'Unauthorized' },
    })
    expect((await ask(server, '/api/v1/services', { token: 'wrong!' })).code).toBe(401)
    expect((await ask(server, '/api/v1/services', { token: 'secret' })).code).toBe(200)
    expect((await ask(server, '/readyz')).code).toBe(200)
  })

  it('serves TLS with a certificate that the CA of its kubeconfig vouches for', async () => {
    const server = await startServer({ tls: true, token: 'secret' })
    const config = parse(server.kubeconfig()) as {
      clusters: [{ cluster: { server: string; 'certificate-authority-data': string } }]
      users: [{ user: { token: string } }]
    }
    const { cluster } = config.clusters[0]
    expect(config.users[0].user.token).toBe('secret')
    const ca = Buffer.from(cluster['certificate-authority-data'], 'base64')
    const code = await new Promise((resolve, reject) => {
      request(`${cluster.server}/healthz`, { ca }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
        .on('error', reject)
        .end()
    })
    expect(code).toBe(200)
  })

  it('keeps its objects and its port over stop() and start()', async () => {
    const server = await startServer()
    const { url } = server
    server.create(configMap('a'))
    await server.stop()
    await expect(fetch(`${url}/healthz`)).rejects.toThrow('fetch failed')
    await server.start()
    expect(server.url).toBe(url)
    expect((await ask(server, `${CONFIG_MAPS_PATH}/a`)).code).toBe(200)
  })

  it('counts requests and bytes by user agent', async () => {
    const server = await startServer()
    await fetch(`${server.url}/api/v1/services`, { headers: { 'user-agent': 'fairlead/1.0 (test)' } })
    expect(server.stats['fairlead/1.0']).toMatchObject({ requests: 1, byVerb: { 'list services': 1 } })
    expect(server.stats['fairlead/1.0']?.bytesSent).toBeGreaterThan(0)
  })
})

describe('ApiServer load()', () => {
  it('keeps raw objects exactly as they are, but for the resourceVersion', async () => {
    const server = await startServer()
    const service: ApiObject = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'odd', namespace: 'nowhere', uid: 'u-1', creationTimestamp: '2020-01-01T00:00:00Z' },
      spec: { clusterIP: '172.30.0.041', ports: [{ port: 80, nodePort: 3001, protocol: 'TCP' }] },
      status: { loadBalancer: { ingress: [{ ip: '1.2.3.4' }] } },
    }
    server.load([service])
    const { resourceVersion, ...metadata } = server.get(SERVICES, 'odd', 'nowhere').metadata
    expect(resourceVersion).toBeDefined()
    expect({ ...server.get(SERVICES, 'odd', 'nowhere'), metadata }).toEqual(service)
  })
})
