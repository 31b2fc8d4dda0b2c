import type { ResourceEvent } from '../../../src/model/resource-event.ts'
import { type Clock, systemClock } from '../../../src/runtime/clock.ts'
import { type Logger, silentLogger } from '../../../src/runtime/logger.ts'
import { createBackoff } from '../../../src/sync/backoff.ts'
import { ApiClient } from '../../../src/watch/api-client.ts'
import { RECONNECT_BACKOFF, Reflector, type ReflectorState } from '../../../src/watch/reflector.ts'
import { serviceCidrs, services, type WatchedResource } from '../../../src/watch/resources.ts'
import {
  bookmark,
  frame,
  object,
  page,
  refuse,
  ScriptedServer,
  statusOf,
  type Step,
  stream,
  streamAndDrop,
  streamAndEnd,
  until,
} from './scripted-server.ts'

/** Waiting costs nothing: it moves the time on and is written down. */
class SkippingClock implements Clock {
  readonly waits: number[] = []
  #nowMs = 0
  now = (): number => this.#nowMs
  monotonic = (): number => this.#nowMs
  sleep = async (ms: number): Promise<void> => {
    this.waits.push(ms)
    this.#nowMs += ms
    await systemClock.sleep(1)
  }
}

interface Line {
  readonly level: string
  readonly facts: Record<string, unknown>
  readonly sentence: string
}

interface Bed {
  readonly server: ScriptedServer
  readonly events: ResourceEvent[]
  readonly states: ReflectorState[]
  readonly lines: Line[]
  readonly clock: SkippingClock
  readonly reflector: Reflector
  /** How often the credentials were to be read again. */
  refreshes: number
  stop(): Promise<void>
}

const beds: Bed[] = []

afterEach(async () => {
  for (const bed of beds.splice(0)) await bed.stop()
})

async function start(steps: readonly Step[], resource: WatchedResource = services): Promise<Bed> {
  const server = await new ScriptedServer(steps).start()
  const tls = { ca: undefined, cert: undefined, key: undefined, serverName: undefined, proxyUrl: undefined }
  const client = new ApiClient({
    credentials: {
      current: () => Promise.resolve({ servers: [server.url], tls: { ...tls, verify: true }, headers: {} }),
      refresh: () => {
        bed.refreshes++
      },
    },
    clock: systemClock,
    version: 'test',
    limits: { answerMs: 400, silenceMs: 400 },
    watchSilenceMs: 400,
  })
  const clock = new SkippingClock()
  const events: ResourceEvent[] = []
  const states: ReflectorState[] = []
  const lines: Line[] = []
  const log = (level: string) => (facts: object, sentence: string) => {
    lines.push({ level, facts: facts as Record<string, unknown>, sentence })
  }
  const logger: Logger = { ...silentLogger, warn: log('warn'), info: log('info') }
  const random = (): number => 0.5
  const reflector = new Reflector({
    resource,
    client,
    clock,
    logger,
    backoff: createBackoff({ ...RECONNECT_BACKOFF, random }),
    random,
    onEvent: (event) => events.push(event),
    onState: (state) => states.push(state),
  })
  const stopping = new AbortController()
  const done = reflector.run(stopping.signal)
  const stop = async (): Promise<void> => {
    stopping.abort()
    await done
    client.close()
    await server.stop()
  }
  const bed: Bed = { server, events, states, lines, clock, reflector, refreshes: 0, stop }
  beds.push(bed)
  return bed
}

function reached(bed: Bed, countEvents: number): Promise<void> {
  return until(
    () => bed.events.length >= countEvents,
    () => ({ events: bed.events, requests: bed.server.requests }),
  )
}

function asked(bed: Bed, countRequests: number): Promise<void> {
  return until(
    () => bed.server.requests.length >= countRequests,
    () => bed.server.requests,
  )
}

/** `page(a b)`, `listed`, `changed a`: the story that the events tell. */
function story(events: readonly ResourceEvent[]): string[] {
  const nameOf = (raw: unknown): string => (raw as { metadata: { name: string } }).metadata.name
  return events.map((event) => {
    switch (event.type) {
      case 'page':
        return `${event.first ? 'first ' : ''}page(${event.objects.map(nameOf).join(' ')})`
      case 'listed':
        return 'listed'
      case 'changed':
      case 'deleted':
        return `${event.type} ${nameOf(event.object)}`
    }
  })
}

const INITIAL = [frame('ADDED', object('a', '5')), frame('ADDED', object('b', '7')), bookmark('9', true)]
const LISTED = ['first page(a b)', 'listed']

describe('Reflector lists', () => {
  test('Reflector begins with a streaming list and follows it on the same connection', async () => {
    const bed = await start([
      stream(...INITIAL, frame('MODIFIED', object('a', '10')), frame('DELETED', object('b', '11'))),
    ])
    await reached(bed, 4)
    expect(story(bed.events)).toEqual([...LISTED, 'changed a', 'deleted b'])
    expect(bed.reflector.state).toMatchObject({ inSync: true, resourceVersion: '11', attempt: 0 })
    expect(bed.server.requests.map(({ path, query }) => ({ path, query }))).toEqual([
      {
        path: '/api/v1/services',
        query: {
          labelSelector: '!service.kubernetes.io/service-proxy-name',
          fieldSelector: 'spec.clusterIP!=None',
          watch: 'true',
          allowWatchBookmarks: 'true',
          timeoutSeconds: '450',
          sendInitialEvents: 'true',
          resourceVersionMatch: 'NotOlderThan',
        },
      },
    ])
  })

  test.each([400, 422])(
    'Reflector lists page by page when a streaming list is answered with %i',
    async (code) => {
      const bed = await start([
        refuse(code),
        page([object('a', '5')], { resourceVersion: '9', continue: 'more' }),
        page([object('b', '7')], { resourceVersion: '9' }),
        stream(frame('ADDED', object('c', '10'))),
      ])
      await reached(bed, 3)
      expect(story(bed.events)).toEqual([...LISTED, 'changed c'])
      const [, first, second, watch] = bed.server.requests.map(({ query }) => query)
      expect(first).toMatchObject({ limit: '500', resourceVersion: '0' })
      expect(second).toMatchObject({ limit: '500', continue: 'more' })
      expect(second).not.toHaveProperty('resourceVersion')
      expect(watch).toMatchObject({ watch: 'true', resourceVersion: '9', allowWatchBookmarks: 'true' })
      expect(watch).not.toHaveProperty('sendInitialEvents')
      expect(bed.clock.waits).toEqual([])
    },
  )

  test('Reflector starts the list again when a continue token has expired', async () => {
    const bed = await start([
      refuse(422),
      page([object('old', '5')], { resourceVersion: '9', continue: 'more' }),
      refuse(410, {}, { reason: 'Expired' }),
      page([object('a', '20'), object('b', '21')], { resourceVersion: '22' }),
      stream(bookmark('23')),
    ])
    await until(() => bed.reflector.state.resourceVersion === '23')
    // What the broken list held back was never told; what had been told would be superseded by the next first page.
    expect(story(bed.events)).toEqual(LISTED)
  })

  test('Reflector hands a long list on in pages', async () => {
    const many = Array.from({ length: 600 }, (_, index) => frame('ADDED', object(`s${index}`, '5')))
    const bed = await start([stream(many.join(''), bookmark('9', true))])
    await reached(bed, 4)
    expect(bed.events.map((event) => (event.type === 'page' ? event.objects.length : event.type))).toEqual([
      250,
      250,
      100,
      'listed',
    ])
    expect(bed.events.map((event) => event.type === 'page' && event.first)).toEqual([
      true,
      false,
      false,
      false,
    ])
  })

  test('Reflector tells an empty list as one empty page', async () => {
    const bed = await start([stream(bookmark('9', true))])
    await reached(bed, 2)
    expect(story(bed.events)).toEqual(['first page()', 'listed'])
  })

  test('Reflector tells a deletion within the initial events after what it deletes', async () => {
    const bed = await start([
      stream(frame('ADDED', object('a', '5')), frame('DELETED', object('a', '8')), bookmark('9', true)),
    ])
    await reached(bed, 3)
    expect(story(bed.events)).toEqual(['first page(a)', 'deleted a', 'listed'])
  })

  test('Reflector lists by pages after a streaming list that never became complete', async () => {
    const bed = await start([
      streamAndEnd(frame('ADDED', object('a', '5'))),
      page([object('a', '5'), object('b', '7')], { resourceVersion: '9' }),
    ])
    await reached(bed, 2)
    expect(story(bed.events)).toEqual(LISTED)
  })
})

describe('Reflector continues', () => {
  test('Reflector resumes where a dropped connection ended, after a short wait', async () => {
    const bed = await start([
      streamAndDrop(...INITIAL, frame('MODIFIED', object('a', '12'))),
      stream(frame('MODIFIED', object('b', '13'))),
    ])
    await reached(bed, 4)
    expect(story(bed.events)).toEqual([...LISTED, 'changed a', 'changed b'])
    expect(bed.server.requests[1]?.query).toMatchObject({ resourceVersion: '12' })
    expect(bed.clock.waits).toEqual([150])
  })

  test('Reflector resumes at the version of a bookmark when the server ends the watch in good order', async () => {
    const bed = await start([
      streamAndEnd(...INITIAL, bookmark('30')),
      streamAndEnd(bookmark('40')),
      stream(frame('ADDED', object('c', '41'))),
    ])
    await reached(bed, 3)
    expect(bed.server.requests.map(({ query }) => query['resourceVersion'])).toEqual([undefined, '30', '40'])
    expect(bed.clock.waits).toEqual([])
  })

  test('Reflector waits when the server ends watches at once and without a frame', async () => {
    const bed = await start([streamAndEnd(...INITIAL), streamAndEnd(), streamAndEnd(), streamAndEnd()])
    await asked(bed, 5)
    expect(bed.clock.waits).toEqual([150, 300, 600])
  })

  test('Reflector makes a new connection when a watch is silent for too long', async () => {
    const bed = await start([stream(...INITIAL), stream(frame('ADDED', object('c', '10')))])
    await reached(bed, 3)
    expect(bed.server.requests[1]?.query).toMatchObject({ resourceVersion: '9' })
    expect(bed.lines.find(({ level }) => level === 'warn')?.facts).toMatchObject({ code: 'timeout' })
  })

  test('Reflector waits for a server that is slow to start', async () => {
    const bed = await start([refuse(503), refuse(503), refuse(503), refuse(500), stream(...INITIAL)])
    await reached(bed, 2)
    expect(bed.clock.waits).toEqual([150, 300, 600, 1200])
    expect(story(bed.events)).toEqual(LISTED)
  })

  test('Reflector never waits longer than half a minute, and begins anew after progress', async () => {
    const failures = Array.from({ length: 10 }, () => refuse(503))
    const bed = await start([
      streamAndDrop(...INITIAL),
      ...failures,
      streamAndDrop(bookmark('50')),
      stream(bookmark('51')),
    ])
    await until(() => bed.reflector.state.resourceVersion === '51')
    expect(bed.clock.waits).toEqual([150, 300, 600, 1200, 2400, 4800, 9600, 19200, 22500, 22500, 22500, 150])
    expect(bed.reflector.state).toMatchObject({ attempt: 0, lastError: undefined })
  })
})

describe('Reflector lists anew', () => {
  const AGAIN = stream(frame('ADDED', object('a', '100')), bookmark('101', true))

  test.each<[string, Step]>([
    ['410 to the request', refuse(410, {}, { reason: 'Expired' })],
    ['410 as an ERROR frame', stream(frame('ERROR', statusOf(410)))],
    [
      'a version from another history',
      refuse(504, {}, { details: { causes: [{ reason: 'ResourceVersionTooLarge' }] } }),
    ],
    ['a frame that is not JSON', stream('{"type":"ADDED","object":{\n')],
    ['garbage', stream(Buffer.from([0xff, 0xfe, 0x0a, 0x00]))],
    ['a page of HTML', stream('<html>gateway</html>\n')],
    ['a frame of unknown type', stream(frame('SURPRISE', object('a', '12')))],
    ['a frame without a version', stream(frame('ADDED', { metadata: {} }))],
    ['a stream that ends inside a frame', streamAndEnd('{"type":"ADDED"')],
  ])('Reflector lists anew after %s, and takes nothing back meanwhile', async (_, misbehave) => {
    const bed = await start([streamAndEnd(...INITIAL), misbehave, AGAIN])
    await reached(bed, 4)
    expect(story(bed.events)).toEqual([...LISTED, 'first page(a)', 'listed'])
    expect(bed.server.requests[2]?.query).not.toHaveProperty('resourceVersion')
    expect(bed.states.every(({ inSync }) => inSync)).toBe(true)
  })

  test('Reflector does not list without a pause when every watch after a list is refused', async () => {
    const bed = await start([
      refuse(422),
      page([], { resourceVersion: '1' }),
      refuse(410),
      page([], { resourceVersion: '2' }),
      refuse(410),
      page([], { resourceVersion: '3' }),
      refuse(410),
    ])
    await until(() => bed.clock.waits.length >= 3)
    expect(bed.clock.waits.slice(0, 3)).toEqual([150, 300, 600])
  })
})

describe('Reflector is refused', () => {
  test('Reflector reads the credentials again after 401, at once the first time, then with pauses', async () => {
    const bed = await start([refuse(401), refuse(401), refuse(401), stream(...INITIAL)])
    await reached(bed, 2)
    expect(bed.refreshes).toBe(3)
    expect(bed.clock.waits).toEqual([300, 600])
  })

  test('Reflector names the permission that is missing, and keeps trying', async () => {
    const message =
      'services is forbidden: User "system:serviceaccount:kube-system:fairlead" cannot list resource "services"'
    const bed = await start([refuse(403, {}, { message }), refuse(403, {}, { message }), stream(...INITIAL)])
    await reached(bed, 2)
    expect(bed.states[0]?.lastError?.message).toBe(
      `Cannot watch services: forbidden by the API server (${message}); grant "list" and "watch" on "services" to "system:serviceaccount:kube-system:fairlead"`,
    )
  })

  test.each([
    ['the header', refuse(429, { 'retry-after': '7' })],
    ['the Status', refuse(429, {}, { details: { retryAfterSeconds: 7 } })],
  ])('Reflector waits as long as %s asks', async (_, throttle) => {
    const bed = await start([throttle, stream(...INITIAL)])
    await reached(bed, 2)
    expect(bed.clock.waits).toEqual([7000])
  })

  test.each([403, 404])(
    'Reflector takes an optional resource that answers %i for an empty one',
    async (code) => {
      const bed = await start([refuse(code), refuse(code), stream(...INITIAL)], serviceCidrs)
      await reached(bed, 4)
      expect(story(bed.events)).toEqual(['first page()', 'listed', ...LISTED])
      expect(bed.clock.waits).toEqual([450_000, 450_000])
      expect(bed.lines.filter(({ level }) => level === 'warn')).toEqual([])
    },
  )

  test('Reflector keeps what it has when an optional resource is refused later', async () => {
    const bed = await start([streamAndEnd(...INITIAL), refuse(403)], serviceCidrs)
    await asked(bed, 3)
    expect(story(bed.events)).toEqual(LISTED)
  })
})

describe('Reflector reports', () => {
  test('Reflector warns of the first failure, then at most once a minute, and says when it is over', async () => {
    const failures = Array.from({ length: 9 }, () => refuse(503))
    const bed = await start([streamAndDrop(...INITIAL), ...failures, stream(bookmark('20'))])
    await until(() => bed.reflector.state.resourceVersion === '20')
    const sentences = bed.lines.map(({ sentence }) => sentence)
    expect(sentences).toEqual([
      'Listed all objects',
      'Cannot follow the API server, so what is programmed stays',
      'Cannot follow the API server, so what is programmed stays',
      'Recovered',
    ])
    expect(bed.lines.at(-1)?.facts).toMatchObject({ resource: 'services' })
  })

  test('Reflector shows each failure in its state, and that it is in sync throughout', async () => {
    const bed = await start([streamAndDrop(...INITIAL), refuse(500), stream(bookmark('20'))])
    await until(() => bed.reflector.state.resourceVersion === '20')
    expect(bed.states.map(({ inSync, attempt, lastError }) => [inSync, attempt, lastError?.code])).toEqual([
      [true, 0, undefined],
      [true, 1, 'unreachable'],
      [true, 2, 'server'],
      [true, 2, undefined],
      [true, 0, undefined],
    ])
  })

  test('Reflector ends with the error when the consumer of its events fails', async () => {
    const server = await new ScriptedServer([stream(...INITIAL)]).start()
    const fault = new Error('the model is wrong')
    async function* frames() {
      await Promise.resolve()
      yield { type: 'BOOKMARK', resourceVersion: '9', initialEventsEnd: true } as const
    }
    const reflector = new Reflector({
      resource: services,
      client: {
        watch: frames,
        list: () => Promise.reject(new Error('unused')),
        refreshCredentials: () => undefined,
      },
      clock: new SkippingClock(),
      logger: silentLogger,
      backoff: createBackoff({ ...RECONNECT_BACKOFF, random: Math.random }),
      random: Math.random,
      onEvent: () => {
        throw fault
      },
    })
    await expect(reflector.run(new AbortController().signal)).rejects.toBe(fault)
    await server.stop()
  })
})
