/**
 * A complete configuration as a v1alpha1 file, for `--write-config-to` and `/configz`. Reading it gives the same
 * `Config`. kube-proxy reads it as well: the section `fairlead` appears only if something in it was decided.
 */
import { stringify } from 'yaml'
import { assembleConfig } from './assemble-config.ts'
import { API_GROUP, KIND } from './config-file.ts'
import { type SettingValues, SETTING_ROWS } from './settings.ts'

type Tree = Record<string, unknown>

/** YAML text, fields in the order of the settings table. */
export function writeConfig(values: SettingValues): string {
  return stringify(configTree(values), { lineWidth: 0 })
}

/** The same as plain data. */
export function configTree(values: SettingValues): Readonly<Tree> {
  const tree: Tree = { apiVersion: `${API_GROUP}/v1alpha1`, kind: KIND }
  const filled = withEffectiveValues(values)
  for (const [name, row] of SETTING_ROWS) {
    const value = filled[name]
    const unchanged = JSON.stringify(value) === JSON.stringify(row.default)
    if (row.field === undefined || (row.field.startsWith('fairlead.') && unchanged)) continue
    if (row.writtenIn !== undefined && row.writtenIn !== values.mode) continue
    setAt(tree, row.field.split('.'), row.type.encode(value))
  }
  return tree
}

/** In a file a pause of zero means "not given"; the shortest one that can be written means the same as zero. */
function writtenPause(ms: number): number {
  return ms === 0 ? 1e-6 : ms
}

/** What was left to a default that depends on other settings is written out. */
function withEffectiveValues(values: SettingValues): SettingValues {
  const config = assembleConfig(values)
  return {
    ...values,
    iptablesMinSyncPeriod: writtenPause(values.iptablesMinSyncPeriod),
    nftablesMinSyncPeriod: writtenPause(values.nftablesMinSyncPeriod),
    ipvsMinSyncPeriod: writtenPause(values.ipvsMinSyncPeriod),
    healthzBindAddress: config.healthzBindAddress,
    metricsBindAddress: config.metricsBindAddress,
    nodePortAddresses:
      values.nodePortAddresses.length === 0 && config.nodePortAddresses === 'primary'
        ? ['primary']
        : values.nodePortAddresses,
  }
}

function setAt(tree: Tree, path: readonly string[], value: unknown): void {
  const [key = '', ...rest] = path
  if (rest.length === 0) tree[key] = value
  else setAt((tree[key] ??= {}) as Tree, rest, value)
}

/** Every flag with its value in force, as text, for /flagz. URLs carry no credentials: they are refused there. */
export function flagValues(values: SettingValues): Readonly<Record<string, string>> {
  const flags: Record<string, string> = {}
  for (const [name, row] of SETTING_ROWS) {
    if (row.flag === undefined) continue
    const value = row.type.encode(values[name])
    flags[row.flag] = typeof value === 'string' ? value : JSON.stringify(value ?? '')
  }
  return flags
}
