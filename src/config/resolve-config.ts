/**
 * From what the operator wrote to a complete `Config`, or to everything that is wrong with it at once.
 *
 * Precedence is kube-proxy's (as of 1.36): a file replaces the flags, except those that are about this
 * process alone (`beatsFile`). A flag that the file replaces is not an error, but it is told.
 */
import { readFileSync } from 'node:fs'
import { assembleConfig } from './assemble-config.ts'
import type { Config } from './config.ts'
import { ConfigError } from './config-error.ts'
import { type ConfigFile, decodeConfigFile } from './config-file.ts'
import { type CommandLine, parseFlags } from './flags.ts'
import type { Given, GivenSettings } from './given.ts'
import type { Setting } from './setting.ts'
import { type FileVersion, type SettingName, type SettingValues, SETTINGS, SETTING_ROWS } from './settings.ts'
import { defaultOf, isZero } from './settings.ts'
import { validateConfig } from './validate-config.ts'
import { writeConfig } from './write-config.ts'

/** What the command line asks for. */
export type Resolution =
  | { readonly action: 'help' }
  /** `style` is what stood after `--version=`: `true`, `raw`, or a version to report instead. */
  | { readonly action: 'version'; readonly style: string }
  | {
      readonly action: 'run' | 'init-only' | 'cleanup'
      readonly config: Config
      /** The same as one value per setting, for /configz, /flagz and comparisons. */
      readonly values: SettingValues
      /** Lines to be said once at start: what is ignored, and what is done better than asked. */
      readonly notes: readonly string[]
    }
  | {
      readonly action: 'write-config'
      readonly path: string
      readonly text: string
      readonly notes: readonly string[]
    }
  | { readonly action: 'invalid'; readonly errors: readonly ConfigError[] }

export interface ResolveOptions {
  readonly readFile?: (path: string) => string
}

/** `argv` without the program's name. Never throws for what an operator may have written. */
export function resolveConfig(argv: readonly string[], options: ResolveOptions = {}): Resolution {
  const commandLine = parseFlags(argv)
  if (commandLine.help) return { action: 'help' }
  if (commandLine.version !== undefined && commandLine.version !== 'false')
    return { action: 'version', style: commandLine.version }
  const path = commandLine.settings.get('configFile')?.value as string | undefined
  const file = path === undefined || path === '' ? undefined : readConfigFile(path, options)
  const resolved = merge(commandLine, file)
  if (resolved.errors.length > 0) return { action: 'invalid', errors: resolved.errors }
  return actionOf(resolved.values, resolved.notes)
}

function actionOf(values: SettingValues, notes: readonly string[]): Resolution {
  const config = assembleConfig(values)
  if (values.writeConfigTo !== '')
    return { action: 'write-config', path: values.writeConfigTo, text: writeConfig(values), notes }
  if (values.cleanup) return { action: 'cleanup', config, values, notes }
  return { action: values.initOnly ? 'init-only' : 'run', config, values, notes }
}

function readConfigFile(path: string, options: ResolveOptions): ConfigFile {
  const read = options.readFile ?? ((file: string) => readFileSync(file, 'utf8'))
  let text: string
  try {
    text = read(path)
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const why = missing
      ? 'no such file; check --config'
      : `${(cause as Error).message}; check its permissions`
    const code = missing ? 'missing-file' : 'unreadable'
    const error = new ConfigError(`Cannot read ${path}: ${why}`, { code, path, cause })
    return { version: 'v1alpha1', settings: new Map(), refused: [], errors: [error], notes: [] }
  }
  return decodeConfigFile(text, path)
}

interface Merged {
  readonly values: SettingValues
  readonly errors: readonly ConfigError[]
  readonly notes: readonly string[]
}

function merge(commandLine: CommandLine, file: ConfigFile | undefined): Merged {
  const given = new Map<SettingName, Given>(file?.settings)
  const notes = [...commandLine.notes, ...(file?.notes ?? [])]
  for (const [name, flag] of commandLine.settings) {
    if (file === undefined || SETTINGS[name].beatsFile === true) given.set(name, flag)
    else notes.push(`Ignored ${flag.label}: the file that --config names replaces it`)
  }
  const values = withDefaults(given, file?.version ?? 'v1alpha1')
  const refusals = judgeRefused(commandLine, file, values)
  notes.push(...refusals.notes, ...remarks(given))
  // Settings of which one is missing because it was refused cannot be judged together.
  const conflicts = refusals.errors.length === 0 ? validateConfig(values, given) : []
  const errors = [...commandLine.errors, ...(file?.errors ?? []), ...refusals.errors, ...conflicts]
  return { values, errors, notes: [...new Set(notes)] }
}

function withDefaults(given: ReadonlyMap<SettingName, Given>, version: FileVersion): SettingValues {
  const values: Partial<Record<SettingName, unknown>> = {}
  for (const [name, row] of SETTING_ROWS)
    values[name] = (given.get(name) ?? { value: defaultOf(row, version) }).value
  // Every value came out of the type of its own row.
  return values as SettingValues
}

/** A bad value counts unless its setting does not matter in this mode, or the file replaces the flag. */
function judgeRefused(commandLine: GivenSettings, file: GivenSettings | undefined, values: SettingValues) {
  const errors: ConfigError[] = []
  const notes: string[] = []
  const modes: readonly string[] = [values.mode, values.detectLocalMode]
  for (const { setting, error } of [...commandLine.refused, ...(file?.refused ?? [])]) {
    const { onlyIn }: Setting<unknown> = SETTINGS[setting]
    if (onlyIn === undefined || modes.includes(onlyIn)) errors.push(error)
    else notes.push(`${error.message} (left out: it only matters with ${onlyIn})`)
  }
  return { errors, notes }
}

/** What has no effect here although somebody decided it. */
function remarks(given: ReadonlyMap<SettingName, Given>): string[] {
  const lines: string[] = []
  for (const [name, { value, label }] of given) {
    const row: Setting<unknown> = SETTINGS[name]
    const decided = !isZero(value) && JSON.stringify(value) !== JSON.stringify(row.default)
    if (row.note !== undefined && decided) lines.push(`${label} has no effect: ${row.note}`)
  }
  return lines
}
