/** The reflector as it is used: kubeconfig, TLS and token, against the embedded API server that misbehaves. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ApiServer, type ApiServerOptions } from '../../../src/lab/api-server/api-server.ts'
import { SERVICES } from '../../../src/lab/api-server/resources.ts'
import type { ResourceEvent } from '../../../src/model/resource-event.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import { createBackoff } from '../../../src/sync/backoff.ts'
import { ApiClient } from '../../../src/watch/api-client.ts'
import { openCredentials } from '../../../src/watch/credentials.ts'
import { Reflector } from '../../../src/watch/reflector.ts'
import { services } from '../../../src/watch/resources.ts'
import { until } from './scripted-server.ts'

interface Service {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> }
}

/** What somebody who believes every event thinks is there: name → the label `turn`. */
class Mirror {
  readonly turnByName = new Map<string, string>()
  readonly listings: number[] = []
  #seen = new Set<string>()

  take(event: ResourceEvent): void {
    switch (event.type) {
      case 'page':
        if (event.first) this.#seen = new Set()
        for (const each of event.objects) this.#put(each as Service)
        break
      case 'listed':
        for (const name of this.turnByName.keys()) if (!this.#seen.has(name)) this.turnByName.delete(name)
        this.listings.push(this.turnByName.size)
        break
      case 'changed':
        this.#put(event.object as Service)
        break
      case 'deleted':
        this.turnByName.delete((event.object as Service).metadata.name)
    }
  }

  #put({ metadata }: Service): void {
    this.#seen.add(metadata.name)
    this.turnByName.set(metadata.name, metadata.labels?.['turn'] ?? '')
  }
}

function service(index: number, turn: string) {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: `s-${index}`, namespace: 'default', labels: { turn } },
    spec: { clusterIP: `10.96.0.${index}`, ports: [{ port: 80 }] },
  }
}

const COUNT = 8
const folder = mkdtempSync(join(tmpdir(), 'fairlead-reflector-'))
afterAll(() => rmSync(folder, { recursive: true }))

const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

async function start(options: ApiServerOptions) {
  const server = new ApiServer({ raw: true, tls: true, token: 'secret', ...options })
  server.load(Array.from({ length: COUNT }, (_, index) => service(index, 'first')))
  await server.start()
  const kubeconfig = join(folder, 'kubeconfig')
  writeFileSync(kubeconfig, server.kubeconfig())
  const client = new ApiClient({
    credentials: openCredentials({
      kubeconfig,
      servers: [],
      clock: systemClock,
      logger: silentLogger,
      env: {},
    }),
    clock: systemClock,
    version: 'test',
    limits: { answerMs: 500, silenceMs: 500 },
    watchSilenceMs: 500,
  })
  const mirror = new Mirror()
  const reflector = new Reflector({
    resource: services,
    client,
    clock: systemClock,
    logger: silentLogger,
    backoff: createBackoff({ firstMs: 2, maxMs: 50, random: Math.random }),
    random: Math.random,
    onEvent: (event) => mirror.take(event),
  })
  const stopping = new AbortController()
  const done = reflector.run(stopping.signal)
  cleanups.push(async () => {
    stopping.abort()
    await done
    client.close()
    await server.stop()
  })
  await until(() => reflector.state.inSync)
  return { server, mirror, reflector }
}

/** Changes, removes and adds a Service, and waits until the mirror shows the same as the server. */
async function changeAndConverge({ server, mirror }: Awaited<ReturnType<typeof start>>, turn: string) {
  server.load([service(1, turn), service(COUNT, turn)])
  server.delete(SERVICES, 's-2', 'default')
  await server.faults.clear()
  const wanted = () =>
    server
      .list(SERVICES, 'default')
      .map(({ metadata }) => `${metadata.name} ${metadata.labels?.['turn'] ?? ''}`)
      .sort()
  const seen = () => [...mirror.turnByName].map(([name, label]) => `${name} ${label}`).sort()
  await until(() => JSON.stringify(seen()) === JSON.stringify(wanted()), seen)
  expect(seen()).toContain(`s-1 ${turn}`)
  expect(seen()).not.toContain('s-2 first')
  // A page or a restart of the list must never look like the end of everything.
  expect(Math.min(...mirror.listings)).toBeGreaterThanOrEqual(COUNT - 1)
}

const FAULTS: readonly [string, (server: ApiServer) => void][] = [
  ['no fault', () => undefined],
  ['dropped connections', (server) => server.faults.dropConnections()],
  ['refused connections', (server) => server.faults.refuseConnections()],
  ['a slow answer', (server) => server.faults.delay(50)],
  ['garbage in the watch', (server) => server.faults.breakWatches('garbage')],
  ['half a frame', (server) => server.faults.breakWatches('truncated')],
  ['an expired watch', (server) => server.faults.breakWatches('expired')],
  ['a watch that ends', (server) => server.faults.breakWatches('end')],
  ...[400, 401, 403, 404, 410, 422, 429, 500, 503, 504].map(
    (status): [string, (server: ApiServer) => void] => [
      `dropped connections and then ${status} three times`,
      (server) => {
        server.faults.dropConnections()
        server.faults.fail({ status, count: 3 })
      },
    ],
  ),
]

describe.each([
  ['with streaming lists', { watchList: true }],
  ['with paged lists', { watchList: false }],
])('Reflector against the embedded API server %s', (_, options) => {
  test.each(FAULTS)('Reflector sees every change after %s', async (_fault, misbehave) => {
    const bed = await start(options)
    misbehave(bed.server)
    await changeAndConverge(bed, 'second')
  })

  test('Reflector sees every change after a silence that nobody ended', async () => {
    const bed = await start(options)
    bed.server.faults.goSilent()
    bed.server.load([service(1, 'unheard')])
    await until(() => bed.reflector.state.lastError !== undefined)
    expect(bed.reflector.state.lastError?.code).toBe('timeout')
    await changeAndConverge(bed, 'second')
  })

  test('Reflector sees every change after a compaction during an outage', async () => {
    const bed = await start(options)
    bed.server.faults.refuseConnections()
    bed.server.load([service(3, 'compacted')])
    bed.server.faults.compact()
    await changeAndConverge(bed, 'second')
    expect(bed.mirror.turnByName.get('s-3')).toBe('compacted')
  })

  test('Reflector forgets a Service that is labelled for another proxy', async () => {
    const bed = await start(options)
    const { metadata, ...rest } = service(4, 'first')
    const labels = { ...metadata.labels, 'service.kubernetes.io/service-proxy-name': '' }
    bed.server.load([{ ...rest, metadata: { ...metadata, labels } }])
    await until(() => !bed.mirror.turnByName.has('s-4'))
    expect(bed.mirror.turnByName.size).toBe(COUNT - 1)
  })
})
