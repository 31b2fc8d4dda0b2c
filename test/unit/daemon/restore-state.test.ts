import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeState } from '../../../src/daemon/cluster-state.ts'
import { ClusterMemory } from '../../../src/daemon/restore-state.ts'
import { silentLogger } from '../../../src/runtime/logger.ts'
import type { ReflectorState } from '../../../src/watch/reflector.ts'
import { WatchError } from '../../../src/watch/watch-error.ts'
import { aService } from '../../support/builders.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { aStore } from '../../support/proxy-view.ts'

const SNAPSHOT = aStore([aService('shop/web').clusterIp('172.30.0.1').port(80).build()]).snapshot()
const SILENT: ReflectorState = {
  inSync: false,
  lastContactMs: undefined,
  resourceVersion: undefined,
  attempt: 1,
  lastError: undefined,
}

let folder: string
let clock: ManualClock
let feed: { inSync: boolean; state: ReflectorState; states: () => Map<'Service', ReflectorState> }
const warnings: string[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-memory-'))
  clock = new ManualClock()
  feed = { inSync: false, state: SILENT, states: () => new Map([['Service', feed.state]]) }
  warnings.length = 0
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function memory(directory: string | undefined = folder): ClusterMemory {
  const warn = (facts: object) => void warnings.push((facts as { reason: string }).reason)
  return new ClusterMemory({ directory, nodeName: 'node-a', feed, clock, log: { ...silentLogger, warn } })
}

/** Whether it was decided after so much time, and the answer. */
async function after(ms: number, asked: Promise<unknown>): Promise<{ decided: boolean }> {
  let decided = false
  void asked.then(() => (decided = true))
  await clock.advance(ms)
  return { decided }
}

describe('ClusterMemory.whenSilent()', () => {
  const signal = new AbortController().signal

  test('remembers when the API server has said nothing for less than a second', async () => {
    await writeState(folder, SNAPSHOT, 0)
    const asked = memory().whenSilent(signal)
    expect(await after(500, asked)).toEqual({ decided: false })
    await clock.advance(400)
    const state = await asked
    expect([...state!.families.IPv4.servicePorts.keys()]).toEqual(['shop/web:/TCP'])
  })

  test('remembers at once when every connection is refused', async () => {
    await writeState(folder, SNAPSHOT, 0)
    const refused = new WatchError('Cannot list', { code: 'unreachable' })
    const trying: ReflectorState = { ...SILENT, attempt: 0 }
    const states = new Map([
      ['Service', { ...SILENT, lastError: refused }],
      ['EndpointSlice', trying],
    ] as const)
    feed.states = () => states as Map<'Service', ReflectorState>
    const asked = memory().whenSilent(signal)
    expect(await after(200, asked)).toEqual({ decided: false })
    states.set('EndpointSlice', { ...SILENT, lastError: refused })
    await clock.advance(60)
    expect(await asked).toBeDefined()
  })

  test('waits for a server that is only slow, however often it breaks off', async () => {
    await writeState(folder, SNAPSHOT, 0)
    feed.state = { ...SILENT, lastError: new WatchError('Cannot list', { code: 'timeout' }) }
    const asked = memory().whenSilent(signal)
    expect(await after(500, asked)).toEqual({ decided: false })
    feed.inSync = true
    await clock.advance(100)
    expect(await asked).toBeUndefined()
  })

  test('waits longer for a server that answers', async () => {
    await writeState(folder, SNAPSHOT, 0)
    feed.state = { ...SILENT, lastContactMs: 1 }
    const asked = memory().whenSilent(signal)
    expect(await after(5000, asked)).toEqual({ decided: false })
    await clock.advance(6000)
    expect(await asked).toBeDefined()
  })

  test('needs no memory once everything is in sync, or where none is kept', async () => {
    await writeState(folder, SNAPSHOT, 0)
    const asked = memory().whenSilent(signal)
    await clock.advance(300)
    feed.inSync = true
    await clock.advance(100)
    expect(await asked).toBeUndefined()
    const nowhere = new ClusterMemory({
      directory: undefined,
      nodeName: 'node-a',
      feed,
      clock,
      log: silentLogger,
    })
    expect(await nowhere.whenSilent(signal)).toBeUndefined()
  })

  test('ignores what is damaged, with a warning', async () => {
    writeFileSync(join(folder, 'cluster-state.jsonl'), 'garbage\n')
    const asked = memory().whenSilent(signal)
    await clock.advance(1000)
    expect(await asked).toBeUndefined()
    expect(warnings).toEqual(['a line of it is not JSON'])
  })
})
