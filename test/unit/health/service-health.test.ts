import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { once } from 'node:events'
import { ServiceHealth, serviceHealthAnswer } from '../../../src/health/service-health.ts'
import type { ServiceKey } from '../../../src/model/service-port.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const WEB = 'ns/web' as ServiceKey
const API = 'ns/api' as ServiceKey

/** A port that nobody listened on a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function aServiceHealth(clock = new ManualClock()) {
  const failures: string[] = []
  const services = new ServiceHealth({
    family: 'IPv4',
    isProxyHealthy: () => true,
    clock,
    logger: silentLogger,
    onFailure: (service, error) => failures.push(`${service}: ${error.message}`),
  })
  return { services, failures, clock }
}

/** The raw bytes of the answer, header names as sent. */
async function rawAnswer(port: number, head: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.end(`${head}\r\nHost: x\r\nConnection: close\r\n\r\n`)
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  return text
}

const isOpen = (port: number): Promise<boolean> =>
  rawAnswer(port, 'GET / HTTP/1.1').then(
    () => true,
    () => false,
  )

describe('serviceHealthAnswer()', () => {
  test('is byte for byte what kube-proxy answers', () => {
    expect(serviceHealthAnswer('ns/web', 3, true)).toEqual({
      status: 200,
      headers: {
        'Content-Type': 'application/json',
        'X-Content-Type-Options': 'nosniff',
        'X-Load-Balancing-Endpoint-Weight': '3',
      },
      body: '{\n\t"service": {\n\t\t"namespace": "ns",\n\t\t"name": "web"\n\t},\n\t"localEndpoints": 3,\n\t"serviceProxyHealthy": true\n}',
    })
  })

  test.each([
    [0, true, 503],
    [1, false, 503],
    [0, false, 503],
    [1, true, 200],
  ])('with %p local endpoints and a healthy proxy %p is %p', (count, healthy, status) => {
    expect(serviceHealthAnswer('a/b', count, healthy).status).toBe(status)
  })
})

describe('ServiceHealth', () => {
  test('answers any method and path on the port, and closes it with the Service', async () => {
    const { services } = aServiceHealth()
    const port = await freePort()
    await services.syncServices(new Map([[WEB, port]]), ['127.0.0.1'])
    services.syncEndpoints(new Map([[WEB, 2]]))
    for (const head of ['GET / HTTP/1.1', 'POST /any/path?x HTTP/1.1']) {
      const answer = await rawAnswer(port, head)
      expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
      expect(answer).toContain('\r\nX-Load-Balancing-Endpoint-Weight: 2\r\n')
      expect(answer.endsWith('"serviceProxyHealthy": true\n}')).toBe(true)
    }
    await services.syncServices(new Map())
    expect(await isOpen(port)).toBe(false)
  })

  test('moves to another port and other addresses', async () => {
    const { services } = aServiceHealth()
    const [first, second] = [await freePort(), await freePort()]
    await services.syncServices(new Map([[WEB, first]]), 'all')
    expect(await isOpen(first)).toBe(true)
    await services.syncServices(new Map([[WEB, second]]), 'all')
    expect([await isOpen(first), await isOpen(second)]).toEqual([false, true])
    await services.syncServices(new Map([[WEB, second]]), [])
    expect(await isOpen(second)).toBe(false)
    await services.stop()
  })

  test('tells a port that is taken, serves the others, and opens it when it is free', async () => {
    const { services, failures, clock } = aServiceHealth()
    const holder = createServer().listen(0, '127.0.0.1')
    await once(holder, 'listening')
    const taken = (holder.address() as AddressInfo).port
    const free = await freePort()
    await services.syncServices(
      new Map([
        [WEB, taken],
        [API, free],
      ]),
      ['127.0.0.1'],
    )
    expect(failures).toEqual([
      `ns/web: Cannot open health-check port ${taken} of ns/web: EADDRINUSE; another process or Service holds it`,
    ])
    expect(services.listening).toEqual([API])
    holder.close()
    await once(holder, 'close')
    await clock.advance(5000)
    const deadline = Date.now() + 10_000
    while (services.listening.length < 2 && Date.now() < deadline)
      await new Promise((turn) => setImmediate(turn))
    expect(services.listening).toEqual([API, WEB])
    await services.stop()
    expect(services.listening).toEqual([])
  })

  test('counts nothing for Services without a port', () => {
    const { services } = aServiceHealth()
    services.syncEndpoints(new Map([[WEB, 5]]))
    expect(services.answer(WEB).status).toBe(503)
  })
})
