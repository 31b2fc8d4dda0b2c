/**
 * All settings in one table. Adding a row here is all it takes for a flag, a field, a default, a line of help and
 * documentation to exist; `assemble-config.ts` then puts the value where the program looks for it.
 */
import type { Setting } from './setting.ts'
import { API_SETTINGS, SERVING_SETTINGS, START_SETTINGS } from './settings-of-process.ts'
import {
  ADDRESS_SETTINGS,
  CONNTRACK_SETTINGS,
  IPVS_SETTINGS,
  LOCAL_TRAFFIC_SETTINGS,
  PROXYING_SETTINGS,
} from './settings-of-proxying.ts'
import { SETTINGS_WITHOUT_EFFECT } from './settings-without-effect.ts'

export const SETTINGS = {
  ...START_SETTINGS,
  ...API_SETTINGS,
  ...PROXYING_SETTINGS,
  ...LOCAL_TRAFFIC_SETTINGS,
  ...ADDRESS_SETTINGS,
  ...CONNTRACK_SETTINGS,
  ...IPVS_SETTINGS,
  ...SERVING_SETTINGS,
  ...SETTINGS_WITHOUT_EFFECT,
}

type Table = typeof SETTINGS
export type SettingName = keyof Table
type ValueOf<S> = S extends Setting<infer T> ? T : never

/** A value for every setting. */
export type SettingValues = { readonly [K in SettingName]: ValueOf<Table[K]> }

/** The rows in the order of the table, for code that treats all alike. */
export const SETTING_ROWS: readonly (readonly [SettingName, Setting<unknown>])[] = Object.entries(
  SETTINGS,
) as [SettingName, Setting<unknown>][]

export type FileVersion = 'v1alpha1' | 'v1alpha2'

/** Path of a setting in a file of this version; `undefined`: it cannot be set there. */
export function fieldOf(row: Setting<unknown>, version: FileVersion): string | undefined {
  if (version === 'v1alpha1' || row.v1alpha2?.field === undefined) return row.field
  return row.v1alpha2.field ?? undefined
}

export function defaultOf(row: Setting<unknown>, version: FileVersion): unknown {
  return version === 'v1alpha2' ? (row.v1alpha2?.default ?? row.default) : row.default
}

/** What counts as "not given" in a file: Go's zero values. */
export function isZero(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === 0 || value === false) return true
  if (Array.isArray(value)) return value.length === 0
  return typeof value === 'object' && Object.keys(value).length === 0
}
