/** A small process whose memory and processor can be looked at over HTTP: prints its port, ends with its standard input. */
import { metricsHandler } from '../../src/metrics/metrics-server.ts'
import { HttpListener } from '../../src/runtime/http-listener.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import { systemClock } from '../../src/runtime/clock.ts'

const listener = new HttpListener({
  name: 'metrics server',
  ip: '127.0.0.1',
  port: 0,
  clock: systemClock,
  logger: silentLogger,
  hardFail: true,
  handler: metricsHandler({
    metrics: { text: () => Promise.resolve(''), contentType: 'text/plain' },
    clock: systemClock,
    startedMs: systemClock.now(),
    version: '1.2.3',
    mode: () => 'ipvs',
    config: () => ({}),
    flags: undefined,
    statusz: false,
    profiling: () => true,
    debug: { clock: systemClock, setVerbosity: () => undefined },
  }),
})
const stop = new AbortController()
const running = listener.run(stop.signal)
while (listener.port === undefined) await systemClock.sleep(1)
process.stdout.write(`${listener.port}\n`)
process.stdin.on('end', () => stop.abort()).resume()
await running
