import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { parse as parseYaml } from 'yaml'
import { resolveConfig } from '../../../src/config/resolve-config.ts'
import { configTree, flagValues } from '../../../src/config/write-config.ts'
import { metricsHandler } from '../../../src/metrics/metrics-server.ts'
import { HttpListener } from '../../../src/runtime/http-listener.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import { ManualClock } from '../../support/manual-clock.ts'

const START = Date.UTC(2026, 0, 1)
const PROFILED = `${import.meta.dirname}/../../support/profiled-server.ts`

function settings() {
  const resolution = resolveConfig(['--mode=ipvs', '--cluster-cidr=10.0.0.0/8'])
  if ('values' in resolution) return resolution.values
  throw new Error('unexpected')
}

/** A server with everything on, or without profiling and z-pages. */
async function serve(all: boolean) {
  const clock = new ManualClock(START + 61_000)
  const verbosity: number[] = []
  const listener = new HttpListener({
    name: 'metrics server',
    ip: '127.0.0.1',
    port: 0,
    clock,
    logger: silentLogger,
    hardFail: true,
    handler: metricsHandler({
      metrics: {
        text: () => Promise.resolve('a_metric 1\n'),
        contentType: 'text/plain; version=0.0.4; charset=utf-8',
      },
      clock,
      startedMs: START,
      version: '1.2.3',
      mode: () => 'ipvs',
      config: () => configTree(settings()),
      flags: all ? () => flagValues(settings()) : undefined,
      statusz: all,
      profiling: () => all,
      debug: {
        clock: { now: () => 0, monotonic: () => 0, sleep: () => Promise.resolve() },
        setVerbosity: (level) => verbosity.push(level),
      },
    }),
  })
  const stop = new AbortController()
  const running = listener.run(stop.signal)
  const deadline = Date.now() + 10_000
  while (listener.port === undefined && Date.now() < deadline) await new Promise((turn) => setImmediate(turn))
  return {
    verbosity,
    ask: (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${listener.port}${path}`, init),
    stop: () => {
      stop.abort()
      return running
    },
  }
}

describe('metricsHandler()', () => {
  let full: Awaited<ReturnType<typeof serve>>
  let bare: Awaited<ReturnType<typeof serve>>

  beforeAll(async () => {
    full = await serve(true)
    bare = await serve(false)
  })

  afterAll(async () => {
    await full.stop()
    await bare.stop()
  })

  test.each([
    ['/metrics', 'text/plain; version=0.0.4; charset=utf-8', 'a_metric 1\n'],
    ['/proxyMode', 'text/plain; charset=utf-8', 'ipvs'],
    ['/healthz', 'text/plain; charset=utf-8', 'ok'],
    ['/healthz/ping', 'text/plain; charset=utf-8', 'ok'],
    ['/healthz?verbose', 'text/plain; charset=utf-8', '[+]ping ok\nhealthz check passed\n'],
  ])('answers %s', async (path, type, body) => {
    const response = await full.ask(path)
    expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([
      200,
      type,
      body,
    ])
  })

  test('answers /proxyMode and /healthz with nosniff', async () => {
    for (const path of ['/proxyMode', '/healthz'])
      expect((await full.ask(path)).headers.get('x-content-type-options')).toBe('nosniff')
  })

  test('answers /configz with the configuration in force as a v1alpha1 document', async () => {
    const response = await full.ask('/configz')
    const body = (await response.json()) as Record<string, Record<string, unknown>>
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(body['kubeproxy.config.k8s.io']).toMatchObject({
      apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
      kind: 'KubeProxyConfiguration',
      mode: 'ipvs',
      clusterCIDR: '10.0.0.0/8',
    })
    const file = JSON.stringify(body['kubeproxy.config.k8s.io'])
    expect(resolveConfig(['--config=f'], { readFile: () => file }).action).toBe('run')
    expect(parseYaml(file)).toEqual(configTree(settings()))
  })

  test('answers /flagz as text and as JSON', async () => {
    const text = await (await full.ask('/flagz')).text()
    expect(text).toMatch(/^\nkube-proxy flagz\nWarning: .*\n\n/)
    expect(text).toContain('\nproxy-mode=ipvs\n')
    const accept = 'application/json;v=v1alpha1;g=config.k8s.io;as=Flagz'
    expect(await (await full.ask('/flagz', { headers: { accept } })).json()).toMatchObject({
      kind: 'Flagz',
      apiVersion: 'config.k8s.io/v1alpha1',
      flags: { 'cluster-cidr': '10.0.0.0/8', v: '0' },
    })
  })

  test('answers /statusz as text and as JSON', async () => {
    expect(await (await full.ask('/statusz')).text()).toContain('Up: 61 s\nBinary version: 1.2.3\n')
    expect(
      await (await full.ask('/statusz', { headers: { accept: 'application/json' } })).json(),
    ).toMatchObject({
      kind: 'Statusz',
      startTime: '2026-01-01T00:00:00.000Z',
      uptimeSeconds: 61,
      binaryVersion: '1.2.3',
      paths: expect.arrayContaining(['/metrics', '/configz', '/flagz']),
    })
  })

  test('answers /metrics/slis with the results of /healthz, and forgets them on DELETE', async () => {
    await full.ask('/healthz')
    const before = await (await full.ask('/metrics/slis')).text()
    expect(before).toContain('kubernetes_healthcheck{name="ping",type="healthz"} 1')
    expect(before).toMatch(/kubernetes_healthchecks_total\{name="ping",type="healthz",status="success"\} \d+/)
    expect(before).toContain(`process_start_time_seconds ${START / 1000}`)
    await full.ask('/metrics/slis', { method: 'DELETE' })
    const after = await (await full.ask('/metrics/slis')).text()
    expect(after).not.toContain('status="success"')
    expect(after).toContain(`process_start_time_seconds ${START / 1000}`)
  })

  test('offers /debug/pprof/heap and /debug/pprof/profile when profiling is on', async () => {
    for (const index of ['/debug/pprof', '/debug/pprof/'])
      expect(await (await full.ask(index)).text()).toContain('/debug/pprof/heap')
    // Of this process, with all that jest has loaded, a snapshot would take half a minute.
    const server = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', PROFILED], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const [port] = (await once(server.stdout, 'data')) as [Buffer]
    const ask = async (path: string) => fetch(`http://127.0.0.1:${port.toString().trim()}${path}`)
    const profile = (await (await ask('/debug/pprof/profile?seconds=1')).json()) as { nodes: unknown[] }
    expect(profile.nodes.length).toBeGreaterThan(0)
    expect((await ask('/debug/pprof/profile?seconds=-1')).status).toBe(400)
    const heap = (await (await ask('/debug/pprof/heap')).json()) as { snapshot: { node_count: number } }
    expect(heap.snapshot.node_count).toBeGreaterThan(1000)
    server.stdin.end()
    await once(server, 'exit')
  })

  test('sets the verbosity by PUT /debug/flags/v', async () => {
    const response = await full.ask('/debug/flags/v', { method: 'PUT', body: '5' })
    expect(await response.text()).toBe('successfully set klog.logging.verbosity to 5')
    expect((await full.ask('/debug/flags/v', { method: 'PUT', body: 'much' })).status).toBe(400)
    expect((await full.ask('/debug/flags/v')).status).toBe(406)
    expect(full.verbosity).toEqual([5])
  })

  test.each([
    '/',
    '/healthz/etcd',
    '/metricsx',
    '/debug/pprof/',
    '/debug/pprof/heap',
    '/debug/flags/v',
    '/flagz',
    '/statusz',
    '/metrics/cadvisor',
  ])('answers 404 on %s when it is unknown or switched off', async (path) => {
    const response = await bare.ask(path)
    expect([response.status, await response.text()]).toEqual([404, '404 page not found\n'])
  })
})
