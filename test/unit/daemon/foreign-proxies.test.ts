import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findForeignProxies, watchForeignProxies } from '../../../src/daemon/foreign-proxies.ts'
import { ManualClock } from '../../support/manual-clock.ts'

describe('findForeignProxies()', () => {
  let proc: string

  beforeEach(() => {
    proc = mkdtempSync(join(tmpdir(), 'fairlead-proc-'))
    addProcess('self', { comm: 'node', words: ['node'] })
  })
  afterEach(() => {
    rmSync(proc, { recursive: true })
  })

  function addProcess(pid: string, one: { comm: string; words: readonly string[]; network?: string }): void {
    mkdirSync(join(proc, pid, 'ns'), { recursive: true })
    writeFileSync(join(proc, pid, 'comm'), `${one.comm}\n`)
    writeFileSync(join(proc, pid, 'cmdline'), one.words.map((word) => `${word}\0`).join(''))
    symlinkSync(one.network ?? 'net:[1]', join(proc, pid, 'ns', 'net'))
  }

  test('finds a kube-proxy by its name or its command line, but not ourselves', async () => {
    addProcess('7', { comm: 'kube-proxy', words: ['/usr/local/bin/kube-proxy', '--v=2'] })
    addProcess('8', { comm: 'node', words: ['/opt/kube-proxy'] })
    addProcess('9', { comm: 'kube-proxy', words: ['kube-proxy'] })
    addProcess('10', { comm: 'kubelet', words: ['kubelet', 'kube-proxy'] })
    const found = await findForeignProxies({ proc, ownPids: new Set([9]) })
    expect(found).toEqual([
      { pid: 7, command: '/usr/local/bin/kube-proxy --v=2' },
      { pid: 8, command: '/opt/kube-proxy' },
    ])
  })

  test('leaves out who has a network of its own', async () => {
    addProcess('7', { comm: 'kube-proxy', words: ['kube-proxy'], network: 'net:[2]' })
    expect(await findForeignProxies({ proc, ownPids: new Set() })).toEqual([])
  })

  test('finds nobody where processes cannot be listed', async () => {
    expect(await findForeignProxies({ proc: join(proc, 'missing'), ownPids: new Set() })).toEqual([])
  })

  test('watchForeignProxies() tells each of them once', async () => {
    addProcess('7', { comm: 'kube-proxy', words: ['kube-proxy'] })
    const clock = new ManualClock()
    const told: number[] = []
    const over = new AbortController()
    const scan = { proc, ownPids: new Set<number>() }
    const ended = watchForeignProxies({ clock, scan, onFound: ({ pid }) => told.push(pid) }, over.signal)
    while (told.length === 0) await clock.settle()
    addProcess('12', { comm: 'kube-proxy', words: ['kube-proxy'] })
    while (told.length === 1) await clock.advance(60_000)
    over.abort()
    await ended
    expect(told).toEqual([7, 12])
  })
})
