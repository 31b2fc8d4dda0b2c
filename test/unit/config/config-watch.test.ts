import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ConfigChange, changedSettings, watchConfig } from '../../../src/config/config-watch.ts'
import { resolveConfig } from '../../../src/config/resolve-config.ts'
import type { SettingValues } from '../../../src/config/settings.ts'
import { systemClock } from '../../../src/runtime/clock.ts'

const HEAD = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n'

function valuesOf(argv: readonly string[], text?: string): SettingValues {
  const resolution = resolveConfig(argv, text === undefined ? {} : { readFile: () => text })
  if ('values' in resolution) return resolution.values
  throw new Error(JSON.stringify(resolution))
}

let folder = ''
let stop = new AbortController()

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fairlead-config-'))
  stop = new AbortController()
})

afterEach(() => {
  stop.abort()
  rmSync(folder, { recursive: true })
})

function start(path: string, pollMs: number) {
  const argv = [`--config=${path}`]
  const values = valuesOf(argv)
  return watchConfig({ argv, path, values, signal: stop.signal, clock: systemClock, quietMs: 1, pollMs })
}

async function next(changes: AsyncGenerator<ConfigChange, void>): Promise<ConfigChange> {
  const { value } = await changes.next()
  if (value === undefined) throw new Error('the watch ended')
  return value
}

/** As the kubelet mounts a ConfigMap: config.conf → ..data/config.conf, ..data → a folder that is replaced whole. */
function swapConfigMap(version: string, text: string): void {
  mkdirSync(join(folder, version))
  writeFileSync(join(folder, version, 'config.conf'), text)
  symlinkSync(version, join(folder, '..new'))
  renameSync(join(folder, '..new'), join(folder, '..data'))
}

describe('watchConfig()', () => {
  test('notices the symbolic link swap of a ConfigMap, without polling', async () => {
    swapConfigMap('..v1', `${HEAD}mode: ipvs\n`)
    symlinkSync('..data/config.conf', join(folder, 'config.conf'))
    const changes = start(join(folder, 'config.conf'), 3_600_000)
    const pending = next(changes)
    swapConfigMap('..v2', `${HEAD}mode: ipvs\nclusterCIDR: 10.0.0.0/8\nconntrack: {min: 1}\n`)
    expect(await pending).toMatchObject({
      type: 'changed',
      config: { mode: 'ipvs', conntrack: { min: 1 } },
      changed: { live: ['conntrack.min'], restart: ['clusterCIDR'] },
    })
  })

  test('refuses a bad file, keeps watching, and takes the next good one', async () => {
    const path = join(folder, 'f.conf')
    writeFileSync(path, HEAD)
    const changes = start(path, 3_600_000)
    const first = next(changes)
    writeFileSync(path, `${HEAD}mode: userspace\n`)
    expect(await first).toMatchObject({ type: 'refused', errors: [{ path: 'mode' }] })
    const second = next(changes)
    writeFileSync(path, `${HEAD}mode: nftables\n`)
    expect(await second).toMatchObject({ type: 'changed', changed: { restart: ['mode'] } })
  })

  test('reports a removed file as refused', async () => {
    const path = join(folder, 'f.conf')
    writeFileSync(path, HEAD)
    const changes = start(path, 3_600_000)
    const first = next(changes)
    rmSync(path)
    expect(await first).toMatchObject({ type: 'refused', errors: [{ code: 'missing-file' }] })
  })

  test('sees a change behind a link into another directory by looking now and then', async () => {
    mkdirSync(join(folder, 'real'))
    mkdirSync(join(folder, 'seen'))
    writeFileSync(join(folder, 'real', 'f.conf'), HEAD)
    symlinkSync('../real/f.conf', join(folder, 'seen', 'f.conf'))
    const changes = start(join(folder, 'seen', 'f.conf'), 5)
    const first = next(changes)
    writeFileSync(join(folder, 'real', 'f.conf'), `${HEAD}oomScoreAdj: 1\n`)
    expect(await first).toMatchObject({ type: 'changed', changed: { live: ['oomScoreAdj'], restart: [] } })
  })

  test('ends when it is told to', async () => {
    const path = join(folder, 'f.conf')
    writeFileSync(path, HEAD)
    const pending = start(path, 3_600_000).next()
    stop.abort()
    expect(await pending).toEqual({ done: true, value: undefined })
  })
})

describe('changedSettings()', () => {
  test.each<[string, string, { live: string[]; restart: string[] }]>([
    ['', '', { live: [], restart: [] }],
    ['', 'ipvs: {syncPeriod: 1m}', { live: [], restart: [] }],
    ['', 'iptables: {syncPeriod: 1m}', { live: ['iptables.syncPeriod'], restart: [] }],
    [
      '',
      'logging: {verbosity: 4, format: json}',
      { live: ['logging.verbosity'], restart: ['logging.format'] },
    ],
    ['', 'fairlead: {externalIPCIDRs: [10.0.0.0/8]}', { live: ['fairlead.externalIPCIDRs'], restart: [] }],
    ['portRange: a', 'portRange: b', { live: [], restart: [] }],
  ])('from %j to %j', (from, to, want) => {
    expect(
      changedSettings(valuesOf(['--config=f'], `${HEAD}${from}`), valuesOf(['--config=f'], `${HEAD}${to}`)),
    ).toEqual(want)
  })
})
