import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readState, StateKeeper, writeState } from '../../../src/daemon/cluster-state.ts'
import { encodeState, StateDecoder, UnusableState } from '../../../src/daemon/cluster-state-format.ts'
import type { ClusterSnapshot } from '../../../src/model/cluster-snapshot.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import { aService, aSlice } from '../../support/builders.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { aStore } from '../../support/proxy-view.ts'

const OBJECTS = [
  aService('shop/web')
    .clusterIp('172.30.0.1', 'fd00::1')
    .nodePort(80, 30080)
    .affinity(60)
    .wish('slow-start', '30s')
    .wish('weights', '10.244.0.5=50')
    .build(),
  aService('shop/lb')
    .clusterIp('172.30.0.2')
    .port(53, { protocol: 'UDP' })
    .loadBalancer('203.0.113.1')
    .sourceRanges('10.0.0.0/8')
    .build(),
  aSlice('shop/web')
    .port(80)
    .endpoint('10.244.0.5', { on: 'node-a', zones: ['a'] })
    .endpoint('10.244.1.6')
    .build(),
  aSlice('shop/web', '6').port(80).endpoint('fd00:244::5', { on: 'node-a' }).build(),
]
const SNAPSHOT = aStore(OBJECTS).snapshot()

function lines(snapshot: ClusterSnapshot = SNAPSHOT): string[] {
  return [...encodeState(snapshot, 1000)].map((line) => line.trimEnd())
}

function decoded(text: readonly string[]) {
  const decoder = new StateDecoder()
  for (const line of text) decoder.push(line)
  return decoder.end()
}

/** Maps as sorted lists, so that Jest can compare them. */
function plain(families: ClusterSnapshot['families']) {
  return Object.values(families).map(({ servicePorts, endpoints, serviceCidrs }) => ({
    servicePorts: [...servicePorts].sort(([a], [b]) => (a < b ? -1 : 1)),
    endpoints: [...endpoints].sort(([a], [b]) => (a < b ? -1 : 1)),
    serviceCidrs,
  }))
}

describe('StateDecoder', () => {
  test('reads back exactly what was written, absent fields included', () => {
    const state = decoded(lines())
    expect(plain(state.families)).toStrictEqual(plain(SNAPSHOT.families))
    expect(state.savedMs).toBe(1000)
    const { localIps: _, ...node } = SNAPSHOT.node
    expect(state.node).toStrictEqual(node)
  })

  const [head = '', port = '', ...rest] = lines()
  test.each([
    ['is cut off after its head', [head], 'it is cut off'],
    ['is cut off before its digest', [head, port], 'it is cut off'],
    ['is empty', [], 'it is cut off'],
    ['was changed', [head, port.replace('30080', '30081'), ...rest], 'its digest is wrong'],
    ['misses a line', [head, ...rest], 'its digest is wrong'],
    ['is no JSON', ['garbage'], 'a line of it is not JSON'],
    ['goes on after its end', [head, port, ...rest, '{}'], 'it goes on after its end'],
    ['is something else', ['{"format":"other"}'], 'it is no cluster state'],
    [
      'is of another version',
      [head.replace('"version":1', '"version":99')],
      'it is of version 99, and this is version 1',
    ],
    [
      'has an address that is none',
      [head, port.replace('172.30.0.1', '172.30.0.256')],
      'field "clusterIp" is not as it should be',
    ],
    [
      'has a port that is none',
      [head, port.replace(':30080', ':0')],
      'field "nodePort" is not as it should be',
    ],
    [
      'has a key that could be a command',
      [head, port.replaceAll('shop/web', 'shop/web\\n-F')],
      'field "key" is not as it should be',
    ],
    [
      'has an endpoint that is none',
      [head, port.replace('"ready":true', '"ready":1')],
      'field "ready" is not as it should be',
    ],
  ])('refuses a file that %s', (_what, text, reason) => {
    expect(() => decoded(text)).toThrow(new UnusableState(reason))
  })
})

describe('the file', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fairlead-state-'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  test('writeState() leaves one file, readable by root alone, which readState() reads', async () => {
    const inside = join(folder, 'deep', 'er')
    await writeState(inside, SNAPSHOT, 5000)
    await writeState(inside, SNAPSHOT, 6000)
    expect(readdirSync(inside)).toEqual(['cluster-state.jsonl'])
    expect(statSync(join(inside, 'cluster-state.jsonl')).mode & 0o777).toBe(0o600)
    const state = await readState(inside, { nodeName: 'node-a', nowMs: 7000 })
    expect(state?.savedMs).toBe(6000)
    expect(plain(state!.families)).toStrictEqual(plain(SNAPSHOT.families))
  })

  test('readState() says why it cannot use what is there', async () => {
    await expect(readState(folder, { nodeName: 'node-a', nowMs: 0 })).resolves.toBeUndefined()
    await writeState(folder, SNAPSHOT, 1000)
    await expect(readState(folder, { nodeName: 'node-b', nowMs: 1000 })).rejects.toThrow(
      'it is of node node-a, and this is node-b',
    )
    await expect(readState(folder, { nodeName: 'node-a', nowMs: 1e12 })).rejects.toThrow('too long ago')
    const path = join(folder, 'cluster-state.jsonl')
    writeFileSync(path, readFileSync(path).subarray(0, 300))
    await expect(readState(folder, { nodeName: 'node-a', nowMs: 1000 })).rejects.toThrow(UnusableState)
  })

  test('StateKeeper writes when the cluster is calm, at last after half a minute, and only what is new', async () => {
    const clock = new ManualClock()
    const stop = new AbortController()
    let snapshot = SNAPSHOT
    const keeper = new StateKeeper({ directory: folder, snapshot: () => snapshot, clock, log: silentLogger })
    const running = keeper.run(stop.signal)
    const savedMs = async () => (await readState(folder, { nodeName: 'node-a', nowMs: 0 }))?.savedMs
    const untilSaved = async (differs: number | undefined): Promise<number | undefined> => {
      const deadline = Date.now() + 10_000
      while ((await savedMs()) === differs && Date.now() < deadline) await systemClock.sleep(5)
      return savedMs()
    }
    keeper.changed()
    await clock.advance(1000)
    expect(await savedMs()).toBeUndefined()
    await clock.advance(1000)
    expect(await untilSaved(undefined)).toBe(2000)
    await clock.settle()
    keeper.changed()
    await clock.advance(5000)
    expect(await savedMs()).toBe(2000)
    snapshot = { ...SNAPSHOT, revision: 7 }
    for (let i = 0; i < 35; i++) {
      keeper.changed()
      await clock.advance(1000)
    }
    expect(await untilSaved(2000)).toBeGreaterThan(30_000)
    stop.abort()
    await running
  })

  test('StateKeeper writes what is waiting before it ends, and nothing when nothing waits', async () => {
    const clock = new ManualClock()
    const end = async (changes: boolean): Promise<number | undefined> => {
      const stop = new AbortController()
      const keeper = new StateKeeper({
        directory: folder,
        snapshot: () => SNAPSHOT,
        clock,
        log: silentLogger,
      })
      const running = keeper.run(stop.signal)
      await clock.advance(1000)
      if (changes) keeper.changed()
      stop.abort()
      await running
      return (await readState(folder, { nodeName: 'node-a', nowMs: 0 }))?.savedMs
    }
    expect(await end(false)).toBeUndefined()
    expect(await end(true)).toBe(2000)
    expect(await end(false)).toBe(2000)
  })

  test('StateKeeper bears a disk that fails, and tells it once', async () => {
    const clock = new ManualClock()
    const stop = new AbortController()
    const told: string[] = []
    const log = { ...silentLogger, warn: (_: object, sentence: string) => void told.push(sentence) }
    writeFileSync(join(folder, 'file'), '')
    const options = { directory: join(folder, 'file', 'below'), clock, log }
    let revision = 0
    const keeper = new StateKeeper({ ...options, snapshot: () => ({ ...SNAPSHOT, revision: ++revision }) })
    const running = keeper.run(stop.signal)
    const deadline = Date.now() + 10_000
    while (revision < 2 && Date.now() < deadline) {
      keeper.changed()
      await clock.advance(2500)
      await systemClock.sleep(5)
    }
    stop.abort()
    await running
    expect(revision).toBeGreaterThanOrEqual(2)
    expect(told).toEqual(['Cannot keep the cluster state; a boot without API server has no Services'])
  })
})
