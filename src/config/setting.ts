import type { ValueType } from './value-type.ts'

export const SETTING_GROUPS = [
  'Start',
  'API server',
  'Proxying',
  'Local traffic',
  'NodePorts and external addresses',
  'Connection tracking',
  'IPVS',
  'Health, metrics and logs',
  'Accepted for compatibility',
] as const
export type SettingGroup = (typeof SETTING_GROUPS)[number]

/**
 * One thing an operator can decide: a row of the table from which flags, files, defaults, help, completion,
 * `--write-config-to` and the documentation all follow.
 */
export interface Setting<T> {
  readonly type: ValueType<T>
  readonly default: NoInfer<T>
  /** The default in words, where it depends on something else. */
  readonly shownDefault?: string
  /** kube-proxy's default where ours differs, for the documentation. */
  readonly kubeProxyDefault?: string
  /** Name of the flag without dashes; without one the setting exists in files only. */
  readonly flag?: string
  readonly short?: string
  readonly aliases?: readonly string[]
  /** Path in KubeProxyConfiguration v1alpha1; below `fairlead.` for what kube-proxy does not know. */
  readonly field?: string
  /** Where v1alpha2 (KEP-784) differs; `field: null`: the field was dropped. */
  readonly v1alpha2?: { readonly field?: string | null; readonly default?: T }
  readonly group: SettingGroup
  readonly help: string
  /** `live`: a changed file takes effect at once; `restart`: at the next start; `none`: it has no effect at all. */
  readonly change: 'live' | 'restart' | 'none'
  /** The flag counts although there is a file. */
  readonly beatsFile?: true
  /** In files zero or empty is a value of its own; elsewhere it means "not given", as in Go's defaulting. */
  readonly zeroCounts?: true
  /** Said once at start when the operator decided something here. */
  readonly note?: string
  /** Replaced by something better; said once at start when the flag is used. */
  readonly deprecated?: string
  /** The flag stands for these settings as well. */
  readonly alsoSets?: readonly string[]
  /** It matters in this proxy mode or detect-local mode alone: elsewhere a bad value is told and left out. */
  readonly onlyIn?: 'ipvs' | 'nftables' | 'ClusterCIDR'
  /** Written to files only in this mode, because it shares its field with the setting of another mode. */
  readonly writtenIn?: 'ipvs'
}

/** The row itself, with its type inferred. */
export function setting<T>(row: Setting<T>): Setting<T> {
  return row
}
