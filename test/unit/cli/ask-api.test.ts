import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { askApi } from '../../../src/cli/doctor/ask-api.ts'
import { doctorCommand } from '../../../src/cli/doctor-command.ts'
import { resolveConfig } from '../../../src/config/resolve-config.ts'
import type { ApiFacts } from '../../../src/explain/doctor/node-facts.ts'
import { systemClock } from '../../../src/runtime/clock.ts'

let folder: string
let server: Server | undefined
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-api-'))
})
afterEach(() => {
  server?.close()
  server?.closeAllConnections()
  rmSync(folder, { recursive: true, force: true })
})

async function ask(handler: RequestListener): Promise<ApiFacts> {
  server = createServer(handler)
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  return askAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

async function askAt(url: string): Promise<ApiFacts> {
  const kubeconfig = join(folder, 'kubeconfig')
  const named = (kind: string, value: object) => [{ name: 'x', [kind]: value }]
  const document = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: named('cluster', { server: url }),
    users: named('user', { token: 't' }),
    contexts: named('context', { cluster: 'x', user: 'x' }),
    'current-context': 'x',
  }
  writeFileSync(kubeconfig, JSON.stringify(document))
  const resolved = resolveConfig([`--kubeconfig=${kubeconfig}`])
  if (!('config' in resolved)) throw new Error('Cannot use the kubeconfig')
  return askApi({ config: resolved.config, clock: systemClock, env: {}, signal: AbortSignal.timeout(20_000) })
}

describe('askApi()', () => {
  test('tells permissions that a review denies, and how far the clock is off', async () => {
    const facts = await ask((request, response) => {
      let body = ''
      request.on('data', (chunk) => (body += String(chunk)))
      request.on('end', () => {
        const allowed = !body.includes('endpointslices')
        response.writeHead(request.method === 'POST' ? 201 : 200, {
          Date: new Date(Date.now() - 600_000).toUTCString(),
        })
        response.end(JSON.stringify({ status: { allowed } }))
      })
    })
    expect(facts).toMatchObject({
      unreachable: undefined,
      forbidden: ['list endpointslices', 'watch endpointslices'],
    })
    expect(Math.round((facts.clockAheadMs ?? 0) / 10_000)).toBe(60)
  })

  test('asks a server without reviews for the lists themselves', async () => {
    const facts = await ask((request, response) => {
      const isReview = request.method === 'POST'
      response.writeHead(isReview ? 404 : request.url?.includes('/nodes') === true ? 403 : 200)
      response.end('{}')
    })
    expect(facts.forbidden).toEqual(['list nodes'])
  })

  test('tells credentials that are refused, and a server that nobody answers for', async () => {
    const refused = await ask((_, response) => {
      response.writeHead(401)
      response.end('{}')
    })
    expect(refused.unreachable).toBe('the API server refuses our credentials (401)')
    expect((await askAt('http://127.0.0.1:1')).unreachable).toMatch(/^Cannot get \/version/)
  })
})

test.each([
  [['-o', 'xml'], /^Cannot use "--output=xml"/],
  [['--self-test=10.0.0.1:80'], /^Cannot test "10\.0\.0\.1:80": not a Service; write NAMESPACE/],
  [['--nonsense'], /no such flag/],
  [['--version'], /leave out flags that only print/],
])('doctorCommand() refuses %j', async (argv, message) => {
  await expect(doctorCommand(argv, AbortSignal.timeout(10_000))).rejects.toThrow(message)
})
