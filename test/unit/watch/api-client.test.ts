import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { createServingCertificate } from '../../../src/lab/api-server/certificates.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { ApiClient, type ApiClientOptions } from '../../../src/watch/api-client.ts'
import type { Access } from '../../../src/watch/credentials.ts'
import { endpointSlices, ownNode, services } from '../../../src/watch/resources.ts'
import type { WatchFrame } from '../../../src/watch/watch-stream.ts'
import { TurnCounter } from '../../support/turn-counter.ts'
import {
  bookmark,
  frame,
  object,
  page,
  refuse,
  ScriptedServer,
  type Step,
  stream,
  streamAndEnd,
  until,
} from './scripted-server.ts'

const never = new AbortController().signal
const PLAIN = {
  ca: undefined,
  cert: undefined,
  key: undefined,
  serverName: undefined,
  verify: true,
  proxyUrl: undefined,
}

const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function serve(steps: readonly Step[], tls?: { key: string; cert: string }): Promise<ScriptedServer> {
  const server = await new ScriptedServer(steps, tls).start()
  cleanups.push(() => server.stop())
  return server
}

/** An address where nobody listens. */
async function deadUrl(): Promise<string> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return `http://127.0.0.1:${port}`
}

interface Observed {
  readonly requests: string[]
  bytes: number
}

function connect(
  servers: readonly string[],
  access: Partial<Access> = {},
  options: Partial<ApiClientOptions> = {},
) {
  const observed: Observed = { requests: [], bytes: 0 }
  const client = new ApiClient({
    credentials: {
      current: () => Promise.resolve({ servers, tls: PLAIN, headers: {}, ...access }),
      refresh: () => undefined,
    },
    clock: systemClock,
    version: '1.2.3',
    observer: {
      onRequest: ({ verb, code }) => observed.requests.push(`${verb} ${code}`),
      onBytes: ({ count }) => {
        observed.bytes += count
      },
    },
    limits: { connectMs: 2000, answerMs: 300, silenceMs: 300 },
    watchSilenceMs: 300,
    ...options,
  })
  cleanups.push(() => client.close())
  return { client, observed }
}

async function listAll(client: ApiClient, resource = services) {
  const objects: unknown[] = []
  const envelope = await client.list(
    resource,
    { limit: 500 },
    { signal: never, onObjects: (some) => objects.push(...some) },
  )
  return { objects, ...envelope }
}

async function frames(client: ApiClient): Promise<WatchFrame[]> {
  const seen: WatchFrame[] = []
  for await (const each of client.watch(services, { timeoutSeconds: 300 }, { signal: never })) seen.push(each)
  return seen
}

const ITEMS = [object('a', '1', { note: 'Zürich '.repeat(500) }), object('b', '2')]

describe('ApiClient.list', () => {
  test('ApiClient.list asks for JSON with selectors, credentials and its name', async () => {
    const server = await serve([page(ITEMS, { resourceVersion: '9' })])
    const { client } = connect([server.url], { headers: { authorization: 'Bearer t' } })
    expect(await listAll(client, ownNode('n-1'))).toEqual({
      objects: ITEMS,
      resourceVersion: '9',
      continueToken: undefined,
    })
    expect(server.requests).toMatchObject([
      {
        method: 'GET',
        path: '/api/v1/nodes',
        query: { fieldSelector: 'metadata.name=n-1', limit: '500' },
        headers: {
          accept: 'application/json',
          'accept-encoding': 'gzip',
          authorization: 'Bearer t',
          'user-agent': 'fairlead/1.2.3',
        },
      },
    ])
  })

  test('ApiClient.list reads compressed answers and counts the bytes of the wire', async () => {
    const body = gzipSync(JSON.stringify({ metadata: { resourceVersion: '9' }, items: ITEMS }))
    const server = await serve([
      (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(body),
    ])
    const { client, observed } = connect([server.url])
    expect((await listAll(client)).objects).toEqual(ITEMS)
    expect(observed).toEqual({ requests: ['list 200'], bytes: body.length })
  })

  test.each<[string, Step]>([
    ['not gzip', (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('plain')],
    [
      'half a gzip stream',
      (response) =>
        response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('{"items":[]}').subarray(0, 12)),
    ],
    ['not JSON', streamAndEnd('<html>')],
  ])('ApiClient.list refuses an answer that is %s', async (_, step) => {
    const { client } = connect([(await serve([step])).url])
    await expect(listAll(client)).rejects.toMatchObject({ name: 'WatchError', code: 'protocol' })
  })

  test('ApiClient.list gives up an answer that stops coming', async () => {
    const { client } = connect([(await serve([stream('{"items":[')])).url])
    await expect(listAll(client)).rejects.toMatchObject({ code: 'timeout' })
  })

  test('ApiClient.list gives up a server that never answers', async () => {
    const { client, observed } = connect([(await serve([])).url])
    await expect(listAll(client)).rejects.toMatchObject({ code: 'timeout' })
    expect(observed.requests).toEqual(['list error'])
  })

  test('ApiClient.list ends with the reason of its signal', async () => {
    const { client } = connect([(await serve([])).url])
    const stop = new AbortController()
    const listing = client.list(services, { limit: 1 }, { signal: stop.signal, onObjects: () => undefined })
    stop.abort(new Error('enough'))
    await expect(listing).rejects.toThrow('enough')
  })

  test('ApiClient.list uses one connection for all pages', async () => {
    const server = await serve([page([], { resourceVersion: '1' }), page([], { resourceVersion: '1' })])
    const { client } = connect([server.url])
    await listAll(client)
    await listAll(client)
    expect(new Set(server.requests.map(({ port }) => port)).size).toBe(1)
  })

  test('ApiClient.list asks again when a kept connection turns out to be closed', async () => {
    const closes: Step = (_, request) => request.socket.destroy()
    const server = await serve([
      page([], { resourceVersion: '1' }),
      closes,
      page([], { resourceVersion: '2' }),
    ])
    const { client } = connect([server.url])
    await listAll(client)
    expect((await listAll(client)).resourceVersion).toBe('2')
  })
})

describe('ApiClient with several servers', () => {
  test('ApiClient tries them in turn and stays with the one that answered', async () => {
    const server = await serve([page([], { resourceVersion: '1' }), page([], { resourceVersion: '2' })])
    const { client, observed } = connect([await deadUrl(), server.url])
    await listAll(client)
    await listAll(client)
    expect(observed.requests).toEqual(['list error', 'list 200', 'list 200'])
  })

  test('ApiClient comes back to the first server when the second goes', async () => {
    const first = await serve([refuse(503), page([], { resourceVersion: '1' })])
    const second = await new ScriptedServer([page([], { resourceVersion: '2' })]).start()
    const { client } = connect([first.url, second.url])
    await expect(listAll(client)).rejects.toMatchObject({ code: 'server' })
    expect((await listAll(client)).resourceVersion).toBe('2')
    await second.stop()
    expect((await listAll(client)).resourceVersion).toBe('1')
  })

  test('ApiClient turns from a server whose watch is silent', async () => {
    const first = await serve([stream(), page([], { resourceVersion: '1' })])
    const second = await serve([page([], { resourceVersion: '2' })])
    const { client } = connect([first.url, second.url])
    await expect(frames(client)).rejects.toMatchObject({ code: 'timeout' })
    expect((await listAll(client)).resourceVersion).toBe('2')
  })

  test('ApiClient names every server and its trouble when none answers', async () => {
    const urls = [await deadUrl(), await deadUrl()]
    const { client } = connect(urls)
    await expect(listAll(client, endpointSlices)).rejects.toMatchObject({
      code: 'unreachable',
      message: `Cannot list endpointslices.discovery.k8s.io: ${urls.map((url) => `${url} connect ECONNREFUSED ${url.slice(7)}`).join(', ')}; check the addresses of the API servers and the network between`,
    })
  })
})

describe('ApiClient over TLS', () => {
  const made = createServingCertificate(['127.0.0.1'], Date.now())
  const tls = { key: made.key, cert: made.certificate }

  test('ApiClient trusts the authority of its credentials', async () => {
    const server = await serve([page([], { resourceVersion: '1' })], tls)
    const { client } = connect([server.url], { tls: { ...PLAIN, ca: made.ca } })
    expect((await listAll(client)).resourceVersion).toBe('1')
  })

  test.each([
    ['an unknown authority', PLAIN],
    ['another authority', { ...PLAIN, ca: createServingCertificate(['127.0.0.1'], Date.now()).ca }],
    ['another name', { ...PLAIN, ca: made.ca, serverName: 'api.example' }],
  ])('ApiClient refuses a server with a certificate of %s', async (_, trust) => {
    const server = await serve([page([], { resourceVersion: '1' })], tls)
    const { client } = connect([server.url], { tls: trust })
    await expect(listAll(client)).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringMatching(/check certificate-authority and tls-server-name/),
    })
    expect(server.requests).toEqual([])
  })

  test('ApiClient trusts everybody when told so', async () => {
    const server = await serve([page([], { resourceVersion: '1' })], tls)
    const { client } = connect([server.url], { tls: { ...PLAIN, verify: false } })
    expect((await listAll(client)).resourceVersion).toBe('1')
  })

  test('ApiClient shows its own certificate', async () => {
    const shown: boolean[] = []
    const looks: Step = (response, request) => {
      shown.push('authorized' in request.socket)
      shown.push(
        (request.socket as unknown as { getPeerCertificate(): { raw?: Buffer } }).getPeerCertificate().raw !==
          undefined,
      )
      page([], { resourceVersion: '1' })(response, request)
    }
    const server = await serve([looks], {
      ...tls,
      requestCert: true,
      rejectUnauthorized: false,
    } as typeof tls)
    const { client } = connect([server.url], { tls: { ...PLAIN, ca: made.ca, ...tls } })
    await listAll(client)
    expect(shown).toEqual([true, true])
  })

  test('ApiClient closes idle connections whose certificate was replaced, and keeps an open watch', async () => {
    const sockets: Socket[] = []
    const keep = (step: Step): Step => {
      return (response, request) => {
        sockets.push(request.socket)
        step(response, request)
      }
    }
    const listed = keep(page([], { resourceVersion: '1' }))
    const server = await serve([keep(stream(bookmark('1'))), listed, listed], tls)
    let access: Access = { servers: [server.url], headers: {}, tls: { ...PLAIN, ca: made.ca } }
    const limits = { limits: {}, watchSilenceMs: 60_000 }
    const current = (): Promise<Access> => Promise.resolve(access)
    const { client } = connect([], {}, { ...limits, credentials: { current, refresh: () => undefined } })
    const watch = client.watch(services, { timeoutSeconds: 300 }, { signal: never })
    await watch.next()
    await listAll(client)
    access = { ...access, tls: { ...access.tls, ...tls } }
    await listAll(client)
    await until(() => sockets[1]?.destroyed === true)
    expect(sockets.map(({ destroyed }) => destroyed)).toEqual([false, true, false])
    await watch.return()
  })

  test('ApiClient says so when the server speaks plain HTTP', async () => {
    const server = await serve([])
    const { client } = connect([server.url.replace('http:', 'https:')], { tls: { ...PLAIN, ca: made.ca } })
    await expect(listAll(client)).rejects.toMatchObject({
      message: expect.stringMatching(/is an HTTPS port/),
    })
  })

  test('ApiClient goes through the proxy of the kubeconfig', async () => {
    const server = await serve([page([], { resourceVersion: '1' })], tls)
    const tunnels: string[] = []
    const proxy = http.createServer().listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    proxy.on('connect', (request, socket) => {
      tunnels.push(request.url ?? '')
      const { port, hostname } = new URL(`http://${request.url ?? ''}`)
      const onward = net.connect(Number(port), hostname, () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        socket.pipe(onward).pipe(socket)
      })
    })
    cleanups.push(() => {
      proxy.close()
    })
    const proxyUrl = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
    const { client } = connect([server.url], { tls: { ...PLAIN, ca: made.ca, proxyUrl } })
    expect((await listAll(client)).resourceVersion).toBe('1')
    expect(tunnels).toEqual([server.url.slice('https://'.length)])
  })
})

describe('ApiClient.watch', () => {
  test('ApiClient.watch gives frames until the server ends in good order', async () => {
    const server = await serve([streamAndEnd(frame('ADDED', object('a', '1')), bookmark('2'))])
    const { client, observed } = connect([server.url])
    expect((await frames(client)).map(({ type }) => type)).toEqual(['ADDED', 'BOOKMARK'])
    expect(server.requests[0]?.headers).not.toHaveProperty('accept-encoding', 'gzip')
    expect(observed.requests).toEqual(['watch 200'])
    expect(observed.bytes).toBeGreaterThan(100)
  })

  test('ApiClient.watch gives the event loop a turn after each piece of a long answer', async () => {
    const lines = Array.from({ length: 2000 }, (_, n) => frame('ADDED', object(`s${n}`, '1', ITEMS[0])))
    const server = await serve([streamAndEnd(lines.join(''))])
    const { client } = connect([server.url])
    const counter = new TurnCounter()
    const perTurn = new Map<number, number>()
    for await (const _frame of client.watch(services, { timeoutSeconds: 300 }, { signal: never }))
      perTurn.set(counter.turns, (perTurn.get(counter.turns) ?? 0) + 1)
    counter.stop()
    const longest = Math.max(...lines.slice(0, 100).map(({ length }) => length))
    // A reader holds at most two pieces of 64 kB at a time.
    expect(Math.max(...perTurn.values())).toBeLessThanOrEqual(131_072 / longest + 1)
  })

  test('ApiClient.watch stays while bytes come, however slowly', async () => {
    const server = await serve([
      (response) => {
        response.writeHead(200)
        let sent = 0
        const timer = setInterval(() => {
          response.write(bookmark(String(++sent)))
          if (sent < 6) return
          clearInterval(timer)
          response.end()
        }, 100)
      },
    ])
    const { client } = connect([server.url])
    expect(await frames(client)).toHaveLength(6)
  })

  test('ApiClient.watch waits for the first byte and for the next one each by its own limit', async () => {
    const server = await serve([stream(bookmark('1'))])
    const limits = { connectMs: 60_000, answerMs: 60_000, silenceMs: 60_000 }
    const { client } = connect([server.url], {}, { limits, watchSilenceMs: 150 })
    await expect(frames(client)).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringMatching(/: no byte for 150 ms; another connection is tried$/),
    })
  })

  test('ApiClient.watch leaves no connection behind when its reader stops early', async () => {
    const closed = Promise.withResolvers<undefined>()
    const server = await serve([
      (response, request) => {
        request.socket.once('close', () => closed.resolve(undefined))
        stream(bookmark('1'))(response, request)
      },
    ])
    const { client } = connect([server.url])
    for await (const _ of client.watch(services, { timeoutSeconds: 300 }, { signal: never })) break
    await closed.promise
  })
})

describe('ApiClient.get and createEvent', () => {
  test('ApiClient.get reads one document', async () => {
    const server = await serve([streamAndEnd('{"gitVersion":"v1.36.2"}')])
    const { client } = connect([`${server.url}/base`])
    expect(await client.get('/version', { resource: 'version', signal: never })).toEqual({
      gitVersion: 'v1.36.2',
    })
    expect(server.requests[0]?.path).toBe('/base/version')
  })

  test('ApiClient.get refuses what is not JSON', async () => {
    const { client } = connect([(await serve([streamAndEnd('hello')])).url])
    await expect(client.get('/version', { resource: 'version', signal: never })).rejects.toMatchObject({
      code: 'protocol',
    })
  })

  const EVENT = {
    namespace: 'default',
    name: 'n.1',
    type: 'Normal',
    reason: 'Started',
    action: 'Start',
    note: 'ü',
    regarding: { apiVersion: 'v1', kind: 'Node', name: 'n' },
    reportingController: 'fairlead',
    reportingInstance: 'fairlead-n',
    timeMs: 0,
  } as const

  test.each([201, 409])('ApiClient.createEvent is content with %i', async (code) => {
    const server = await serve([refuse(code)])
    const { client, observed } = connect([server.url])
    await client.createEvent(EVENT, never)
    expect(server.requests[0]).toMatchObject({
      method: 'POST',
      path: '/apis/events.k8s.io/v1/namespaces/default/events',
      headers: { 'content-type': 'application/json' },
    })
    expect(JSON.parse(server.requests[0]?.body ?? '')).toMatchObject({ kind: 'Event', note: 'ü' })
    expect(observed.requests).toEqual([`create ${code}`])
  })

  test('ApiClient.createEvent names the permission that it lacks', async () => {
    const { client } = connect([(await serve([refuse(403)])).url])
    await expect(client.createEvent(EVENT, never)).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringMatching(/grant "create" on "events.events.k8s.io"/),
    })
  })
})
