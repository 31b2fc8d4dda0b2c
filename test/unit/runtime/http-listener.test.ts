import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { HttpListener } from '../../../src/runtime/http-listener.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import { ManualClock } from '../../support/manual-clock.ts'

async function aTakenPort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

function aListener(port: number, hardFail: boolean, clock = new ManualClock()) {
  const failures: string[] = []
  const listener = new HttpListener({
    name: 'health server',
    ip: '127.0.0.1',
    port,
    handler: (_, response) => response.end('x'),
    clock,
    logger: silentLogger,
    hardFail,
    onFailure: (error) => failures.push(error.message),
  })
  return { listener, failures, clock }
}

async function until(isTrue: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!isTrue() && Date.now() < deadline) await new Promise((turn) => setImmediate(turn))
}

describe('HttpListener', () => {
  test('ends with the remedy when it may not fail', async () => {
    const { server, port } = await aTakenPort()
    const { listener, failures } = aListener(port, true)
    const message = `Cannot start the health server on 127.0.0.1:${port}: EADDRINUSE; end the process that holds the port (is kube-proxy still running?) or choose another address`
    await expect(listener.run(new AbortController().signal)).rejects.toThrow(message)
    expect(failures).toEqual([message])
    server.close()
  })

  test('tries again every 5 s, tells the failure once, and frees the port at the end', async () => {
    const { server, port } = await aTakenPort()
    const { listener, failures, clock } = aListener(port, false)
    const stop = new AbortController()
    const running = listener.run(stop.signal)
    await until(() => failures.length > 0)
    await clock.advance(5000)
    server.close()
    await once(server, 'close')
    for (let turn = 0; turn < 20 && listener.port === undefined; turn++) {
      await clock.advance(5000)
      await until(() => listener.port !== undefined || turn > 0)
    }
    expect(listener.port).toBe(port)
    expect(failures).toHaveLength(1)
    stop.abort()
    await running
    const again = createServer().listen(port, '127.0.0.1')
    await once(again, 'listening')
    again.close()
  })
})
