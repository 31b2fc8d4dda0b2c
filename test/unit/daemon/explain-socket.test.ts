import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AskError, askProxy } from '../../../src/cli/ask-proxy.ts'
import { serveExplainSocket } from '../../../src/daemon/explain-socket.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'

let folder: string
let stop: AbortController
let serving: Promise<void>[]
const warnings: string[] = []
const log = {
  ...silentLogger,
  warn: (facts: object) => void warnings.push((facts as { reason: string }).reason),
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-socket-'))
  stop = new AbortController()
  serving = []
  warnings.length = 0
})
afterEach(async () => {
  stop.abort()
  await Promise.all(serving)
  rmSync(folder, { recursive: true, force: true })
})

function serve(path: string, answer: string): void {
  const handler: RequestListener = (request, response) => {
    response.writeHead(request.url === '/bad' ? 400 : 200)
    response.end(
      request.url === '/bad' ? '{"error":"Cannot do that"}' : JSON.stringify({ answer, url: request.url }),
    )
  }
  serving.push(serveExplainSocket({ path, handler, clock: systemClock, log }, stop.signal))
}

/** Polls until somebody answers. */
async function answered(path: string): Promise<unknown> {
  const deadline = Date.now() + 10_000
  for (;;) {
    try {
      return await askProxy(path, '/dump/plan', { from: '10.0.0.1' })
    } catch (error) {
      if (Date.now() > deadline) throw error
      await systemClock.sleep(5)
    }
  }
}

describe('serveExplainSocket()', () => {
  test('answers on a socket that only its owner may open, in a directory that it makes', async () => {
    const path = join(folder, 'run', 'fairlead.sock')
    serve(path, 'one')
    expect(await answered(path)).toEqual({ answer: 'one', url: '/dump/plan?from=10.0.0.1' })
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(join(folder, 'run')).mode & 0o777).toBe(0o700)
  })

  test('takes the place of a socket that nobody answers on any more', async () => {
    const path = join(folder, 'fairlead.sock')
    writeFileSync(path, '')
    serve(path, 'new')
    expect(await answered(path)).toMatchObject({ answer: 'new' })
  })

  test('leaves a socket alone on which another process answers, and says so', async () => {
    const path = join(folder, 'fairlead.sock')
    serve(path, 'first')
    await answered(path)
    serve(path, 'second')
    while (warnings.length === 0) await systemClock.sleep(5)
    expect(warnings).toEqual([`another Fairlead already answers on ${path}`])
    expect(await answered(path)).toMatchObject({ answer: 'first' })
  })
})

describe('askProxy()', () => {
  test('says what to do when no proxy runs', async () => {
    await expect(askProxy(join(folder, 'none.sock'), '/diff')).rejects.toThrow(
      /^Cannot ask the proxy on .*none\.sock \(ENOENT\): no Fairlead answers there; start it/,
    )
  })

  test('hands on what the proxy says against the question', async () => {
    const path = join(folder, 'fairlead.sock')
    serve(path, 'one')
    await answered(path)
    await expect(askProxy(path, '/bad')).rejects.toThrow(new AskError('Cannot do that'))
  })
})
