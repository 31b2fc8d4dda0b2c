import { type ApiObject } from '../../../../src/lab/api-server/api-object.ts'
import { ApiServer } from '../../../../src/lab/api-server/api-server.ts'
import { ask, TestWatch } from './api-client.ts'

let server: ApiServer

beforeEach(async () => {
  server = new ApiServer({ raw: true })
  await server.start()
})

afterEach(async () => {
  await server.stop()
})

const PATH = '/api/v1/namespaces/default/configmaps'
const configMap: ApiObject = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'a', namespace: 'default' },
}

function watchNow(): Promise<TestWatch> {
  return TestWatch.open(server, `${PATH}?watch=true&resourceVersion=${server.store.revision}`)
}

describe('Faults', () => {
  it('fail() lets so many requests fail as told, then none', async () => {
    server.faults.fail({ status: 429, count: 2, retryAfterSeconds: 7, resource: 'configmaps', verb: 'list' })
    expect((await ask(server, '/api/v1/services')).code).toBe(200)
    const first = await ask(server, PATH)
    expect(first).toMatchObject({ code: 429, body: { reason: 'TooManyRequests' } })
    expect(first.headers.get('retry-after')).toBe('7')
    expect((await ask(server, PATH)).code).toBe(429)
    expect((await ask(server, PATH)).code).toBe(200)
  })

  it.each([401, 403, 500, 503])('fail() answers %i with a Status until clear()', async (status) => {
    server.faults.fail({ status })
    for (let i = 0; i < 3; i++)
      expect(await ask(server, PATH)).toMatchObject({ code: status, body: { code: status } })
    await server.faults.clear()
    expect((await ask(server, PATH)).code).toBe(200)
  })

  it('dropConnections() cuts open watches off', async () => {
    const watch = await watchNow()
    server.faults.dropConnections()
    expect(await watch.end()).toMatchObject({ message: 'terminated' })
    expect((await ask(server, PATH)).code).toBe(200)
  })

  it('refuseConnections() refuses until clear(), then the same address answers', async () => {
    server.faults.refuseConnections()
    await expect(ask(server, PATH)).rejects.toThrow('fetch failed')
    await server.faults.clear()
    expect((await ask(server, PATH)).code).toBe(200)
  })

  it('goSilent() sends nothing on watches and requests; clear() cuts them off', async () => {
    const watch = await watchNow()
    server.faults.goSilent()
    server.create(configMap)
    const asked = ask(server, PATH)
    const first = await Promise.race([
      asked.then(
        () => 'answered',
        () => 'cut off',
      ),
      new Promise((resolve) => setImmediate(() => setImmediate(resolve))).then(() => 'silence'),
    ])
    expect(first).toBe('silence')
    await server.faults.clear()
    await expect(asked).rejects.toThrow('fetch failed')
    expect(await watch.end()).toMatchObject({ message: 'terminated' })
    expect(watch.raw).toBe('')
  })

  it('breakWatches() sends garbage, half a frame, an expired event, or just ends', async () => {
    const truncated = await watchNow()
    server.faults.breakWatches('truncated', 'configmaps')
    expect(await truncated.end()).toBeUndefined()
    expect(truncated.raw).toBe('{"type":"MODIFIED","object":{"kind":"Serv')
    const expired = await watchNow()
    server.faults.breakWatches('expired')
    expect(await expired.next()).toMatchObject({ type: 'ERROR', object: { code: 410, reason: 'Expired' } })
    const garbage = await watchNow()
    server.faults.breakWatches('garbage')
    expect(await garbage.end()).toBeInstanceOf(SyntaxError)
    const ended = await watchNow()
    server.faults.breakWatches('end', 'services')
    server.faults.breakWatches('end')
    expect(await ended.end()).toBeUndefined()
    expect(ended.raw).toBe('')
  })

  it('pauseWatch() holds events back and resumeWatch() delivers all of them', async () => {
    const before = await watchNow()
    server.faults.pauseWatch('configmaps')
    const during = await watchNow()
    server.create(configMap)
    expect(before.raw + during.raw).toBe('')
    server.faults.resumeWatch('configmaps')
    expect((await before.next()).type).toBe('ADDED')
    expect((await during.next()).type).toBe('ADDED')
  })

  it('are commanded by POST /lab/faults and shown by GET', async () => {
    const post = (body: object) => ask(server, '/lab/faults', { method: 'POST', body })
    expect((await post({ fault: 'fail', status: 503 })).code).toBe(200)
    expect((await ask(server, PATH)).code).toBe(503)
    expect((await ask(server, '/lab/faults')).body).toMatchObject({ failures: [{ status: 503 }] })
    await post({ fault: 'clear' })
    expect((await ask(server, PATH)).code).toBe(200)
    expect(await post({ fault: 'explode' })).toMatchObject({ code: 400 })
    expect(await post({ fault: 'pause-watch', resource: 'nothing' })).toMatchObject({ code: 400 })
    expect(await post({ fault: 'delay', ms: 'long' })).toMatchObject({ code: 400 })
  })

  it('end by themselves after forMs', async () => {
    await ask(server, '/lab/faults', { method: 'POST', body: { fault: 'fail', status: 503, forMs: 1 } })
    let code = 503
    while (code === 503) code = (await ask(server, PATH)).code
    expect(code).toBe(200)
  })
})
