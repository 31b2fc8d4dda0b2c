/** Settings that are fine alone but not together. Each error names the setting that was written, not a derived one. */
import { hostPort } from '../net/ip.ts'
import { assembleConfig } from './assemble-config.ts'
import type { Config } from './config.ts'
import { ConfigError } from './config-error.ts'
import type { Given } from './given.ts'
import { formatGoDuration } from './go-duration.ts'
import type { Setting } from './setting.ts'
import { type SettingName, type SettingValues, SETTINGS } from './settings.ts'

type GivenMap = ReadonlyMap<SettingName, Given>

export function validateConfig(values: SettingValues, given: GivenMap): ConfigError[] {
  const config = assembleConfig(values)
  return [...localDetection(config, given), ...periods(config, given), ...listeners(config, given)]
}

function conflict(setting: SettingName, given: GivenMap, rest: string): ConfigError {
  const row: Setting<unknown> = SETTINGS[setting]
  const path = row.field ?? `--${row.flag ?? setting}`
  return new ConfigError(`Cannot use ${given.get(setting)?.label ?? `"${path}"`}: ${rest}`, {
    code: 'conflict',
    path,
  })
}

function localDetection(config: Config, given: GivenMap): ConfigError[] {
  const { mode, bridgeInterface, interfaceNamePrefixes } = config.detectLocal
  if (mode === 'BridgeInterface' && bridgeInterface === '')
    return [
      conflict(
        'detectLocalMode',
        given,
        'no bridge is named; add --pod-bridge-interface=cni0 (detectLocal.bridgeInterface)',
      ),
    ]
  if (mode === 'InterfaceNamePrefix' && interfaceNamePrefixes.length === 0)
    return [
      conflict(
        'detectLocalMode',
        given,
        'no prefix is named; add --pod-interface-name-prefix=veth (detectLocal.interfaceNamePrefix)',
      ),
    ]
  return []
}

function periods(config: Config, given: GivenMap): ConfigError[] {
  const { minSyncPeriodMs, syncPeriodMs } = config.sync
  if (minSyncPeriodMs <= syncPeriodMs) return []
  const [min, max] = [formatGoDuration(minSyncPeriodMs), formatGoDuration(syncPeriodMs)]
  const rest = `the longest pause between runs, ${min}, is longer than the sync period of ${max}; lower one or raise the other`
  const culprit = given.has(`${config.mode}MinSyncPeriod`)
    ? (`${config.mode}MinSyncPeriod` as const)
    : (`${config.mode}SyncPeriod` as const)
  return [conflict(culprit, given, rest)]
}

function listeners(config: Config, given: GivenMap): ConfigError[] {
  const { healthzBindAddress: health, metricsBindAddress: metrics } = config
  if (health === undefined || metrics?.port !== health.port || metrics.ip !== health.ip) return []
  const taken = hostPort(health.ip, health.port)
  return [
    conflict('metricsBindAddress', given, `the health server listens on ${taken} too; choose another port`),
  ]
}
