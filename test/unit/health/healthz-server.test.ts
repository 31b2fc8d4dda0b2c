import { request } from 'node:http'
import { goTime, healthAnswer, healthzHandler } from '../../../src/health/healthz-server.ts'
import { ProxyHealth } from '../../../src/health/proxy-health.ts'
import { HttpListener } from '../../../src/runtime/http-listener.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const NOON = Date.UTC(2026, 10, 21, 12)

function aHealth(): ProxyHealth {
  const health = new ProxyHealth({ families: ['IPv4', 'IPv6'], timeoutMs: 60_000 })
  health.setNodeEligible(true)
  health.updated('IPv4', NOON - 10_500)
  return health
}

describe('healthAnswer()', () => {
  test('is byte for byte what kube-proxy answers while all is well', () => {
    const { status, headers, body } = healthAnswer('/healthz', aHealth().report(NOON))
    expect(status).toBe(200)
    expect(headers).toEqual({ 'Content-Type': 'application/json', 'X-Content-Type-Options': 'nosniff' })
    expect(body).toBe(
      '{"lastUpdated":"2026-11-21T12:00:00Z","currentTime":"2026-11-21T12:00:00Z","nodeEligible":true,"healthy":true,' +
        '"status":{"IPv4":{"lastUpdated":"2026-11-21T11:59:49.5Z","healthy":true},"IPv6":{"lastUpdated":"0001-01-01T00:00:00Z","healthy":true}}}',
    )
  })

  test('is 503 with the real last update when a family is late', () => {
    const health = aHealth()
    health.queued('IPv6', NOON - 70_000)
    const answer = healthAnswer('/livez', health.report(NOON))
    expect(answer.status).toBe(503)
    expect(answer.body).toBe(
      '{"lastUpdated":"2026-11-21T11:59:49.5Z","currentTime":"2026-11-21T12:00:00Z","healthy":false,' +
        '"status":{"IPv4":{"lastUpdated":"2026-11-21T11:59:49.5Z","healthy":true},"IPv6":{"lastUpdated":"0001-01-01T00:00:00Z","healthy":false}}}',
    )
  })

  test('fails /healthz and not /livez when the node is to go, and still says healthy', () => {
    const health = aHealth()
    health.setNodeEligible(false)
    const healthz = healthAnswer('/healthz', health.report(NOON))
    expect([healthz.status, JSON.parse(healthz.body)]).toMatchObject([
      503,
      { healthy: true, nodeEligible: false },
    ])
    expect(healthAnswer('/livez', health.report(NOON)).status).toBe(200)
  })

  test('tells what is stale and stays 200, because what is programmed still works', () => {
    const health = aHealth()
    health.setStale('api', 'API server unreachable')
    const { status, body } = healthAnswer('/healthz', health.report(NOON))
    expect([status, JSON.parse(body)]).toMatchObject([200, { stale: ['API server unreachable'] }])
  })
})

test.each([
  [NOON, '2026-11-21T12:00:00Z'],
  [NOON + 120, '2026-11-21T12:00:00.12Z'],
  [NOON + 10_007, '2026-11-21T12:00:10.007Z'],
  [undefined, '0001-01-01T00:00:00Z'],
])('goTime() writes %p as %s', (ms, want) => {
  expect(goTime(ms)).toBe(want)
})

interface Reply {
  readonly status: number | undefined
  readonly type: string | undefined
  readonly body: string
}

function ask(port: number, path: string, method = 'GET'): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, method }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
      response.on('end', () =>
        resolve({ status: response.statusCode, type: response.headers['content-type'], body }),
      )
    })
    sent.on('error', reject).end()
  })
}

describe('healthzHandler()', () => {
  const clock = new ManualClock(NOON)
  const health = aHealth()
  const answered: string[] = []
  const stop = new AbortController()
  const listener = new HttpListener({
    name: 'health server',
    ip: '127.0.0.1',
    port: 0,
    clock,
    logger: silentLogger,
    hardFail: true,
    handler: healthzHandler({
      health,
      clock,
      onAnswer: (path, status) => answered.push(`${path} ${status}`),
      details: () => ({ tools: { iptables: '1.8.9' } }),
    }),
  })
  let running: Promise<void> = Promise.resolve()

  beforeAll(async () => {
    running = listener.run(stop.signal)
    const deadline = Date.now() + 10_000
    while (listener.port === undefined && Date.now() < deadline)
      await new Promise((turn) => setImmediate(turn))
  })

  afterAll(async () => {
    stop.abort()
    await running
  })

  test.each(['GET', 'POST', 'PUT', 'DELETE'])('answers %s on both paths', async (method) => {
    for (const path of ['/healthz', '/livez?x=1'])
      expect(await ask(listener.port!, path, method)).toMatchObject({ status: 200, type: 'application/json' })
  })

  test.each(['/', '/healthz/', '/healthz/x', '/metrics', '//healthz', '/%00'])(
    'answers 404 on %s',
    async (path) => {
      expect(await ask(listener.port!, path)).toEqual({
        status: 404,
        type: 'text/plain; charset=utf-8',
        body: '404 page not found\n',
      })
    },
  )

  test('adds details for ?verbose', async () => {
    expect(JSON.parse((await ask(listener.port!, '/healthz?verbose')).body)).toMatchObject({
      tools: { iptables: '1.8.9' },
    })
  })

  test('reports each answer once', async () => {
    answered.length = 0
    health.queued('IPv4', NOON - 61_000)
    await ask(listener.port!, '/healthz')
    await ask(listener.port!, '/livez')
    health.updated('IPv4', NOON)
    await ask(listener.port!, '/livez')
    expect(answered).toEqual(['/healthz 503', '/livez 503', '/livez 200'])
  })
})
