import { parse as parseYaml } from 'yaml'
import { resolveConfig } from '../../../src/config/resolve-config.ts'
import { type SettingName, SETTING_ROWS } from '../../../src/config/settings.ts'
import { EXAMPLES } from './setting-examples.ts'

function written(argv: readonly string[], file?: string): string {
  const resolution = resolveConfig([...argv, '--write-config-to=out'], { readFile: () => file ?? '' })
  if (resolution.action === 'write-config') return resolution.text
  throw new Error(JSON.stringify(resolution))
}

function configOf(argv: readonly string[], file?: string) {
  const resolution = resolveConfig(argv, { readFile: () => file ?? '' })
  if (!('config' in resolution)) throw new Error(JSON.stringify(resolution))
  const { config } = resolution
  // A pause of zero is written as 1ns, because zero in a file means "not given".
  return {
    ...config,
    configFile: undefined,
    sync: { ...config.sync, minSyncPeriodMs: Math.floor(config.sync.minSyncPeriodMs) },
  }
}

/** Settings that are about this one start and are not written. */
const NOT_WRITTEN: readonly SettingName[] = ['configFile', 'writeConfigTo', 'cleanup', 'initOnly']

describe('writeConfig()', () => {
  const flags = SETTING_ROWS.filter(([name, row]) => row.flag !== undefined && !NOT_WRITTEN.includes(name))

  test.each(
    flags.flatMap(([name, row]) =>
      ['iptables', 'ipvs', 'nftables'].map((mode) => [name, mode, row] as const),
    ),
  )('keeps %s in mode %s', (name, mode, row) => {
    const argv = [...(name === 'mode' ? [] : [`--mode=${mode}`]), `--${row.flag!}=${EXAMPLES[name].flag![0]}`]
    if (name === 'detectLocalMode') argv.push('--pod-bridge-interface=cni0')
    expect(configOf(['--config=f'], written(argv))).toEqual(configOf(argv))
  })

  test('writes every field of v1alpha1 and nothing that kube-proxy does not know', () => {
    const tree = parseYaml(written([])) as Record<string, unknown>
    for (const [, row] of SETTING_ROWS) {
      if (row.field === undefined || row.writtenIn !== undefined) continue
      const value = row.field
        .split('.')
        .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], tree)
      expect([row.field, value === undefined]).toEqual([row.field, row.field.startsWith('fairlead.')])
    }
  })

  test('fills in what defaults depend on', () => {
    expect(parseYaml(written(['--mode=nftables', '--bind-address=::1']))).toMatchObject({
      mode: 'nftables',
      detectLocalMode: 'ClusterCIDR',
      nodePortAddresses: ['primary'],
      healthzBindAddress: '[::]:10256',
      metricsBindAddress: '[::1]:10249',
    })
  })

  test('turns v1alpha2 into v1alpha1 without loss', () => {
    const file = `apiVersion: kubeproxy.config.k8s.io/v1alpha2
kind: KubeProxyConfiguration
mode: ipvs
ipvs: { masqueradeBit: 3, excludeCIDRs: [10.0.0.0/8] }
linux: { oomScoreAdj: 1, masqueradeAll: true }
syncPeriod: 5s
nodeIPOverride: ["192.0.2.1"]
`
    expect(configOf(['--config=f'], written(['--config=f'], file))).toEqual(configOf(['--config=f'], file))
  })
})
