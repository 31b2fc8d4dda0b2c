/**
 * A configuration file that changes while we run.
 *
 * The directory is watched and not the file, because a ConfigMap volume replaces the symbolic link `..data` and an
 * editor replaces the file; a slow look at the contents covers everything that a directory does not tell (a link into
 * another directory, a kernel out of inotify watches). Only a file whose text differs is read again.
 */
import { readFileSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import type { Clock } from '../runtime/clock.ts'
import { assembleConfig } from './assemble-config.ts'
import type { Config } from './config.ts'
import type { ConfigError } from './config-error.ts'
import { resolveConfig } from './resolve-config.ts'
import type { Setting } from './setting.ts'
import { type SettingValues, SETTING_ROWS } from './settings.ts'

/** Names of changed settings as they stand in a file, by when they count. */
export interface ChangedSettings {
  readonly live: readonly string[]
  readonly restart: readonly string[]
}

export type ConfigChange =
  | {
      readonly type: 'changed'
      readonly config: Config
      readonly values: SettingValues
      readonly changed: ChangedSettings
      readonly notes: readonly string[]
    }
  /** The file cannot be used; the configuration before it stays. */
  | { readonly type: 'refused'; readonly errors: readonly ConfigError[] }

export interface WatchConfigOptions {
  /** The arguments the process was started with: flags that beat the file still do. */
  readonly argv: readonly string[]
  readonly path: string
  /** What is in force now. */
  readonly values: SettingValues
  readonly signal: AbortSignal
  readonly clock: Clock
  /** How long the directory must be quiet before the file is read; default 200 ms. */
  readonly quietMs?: number
  /** How often the file is looked at without any notice; default 30 s. */
  readonly pollMs?: number
}

/** Ends when the signal is aborted. Every difference of the file yields one value, good or bad. */
export async function* watchConfig(options: WatchConfigOptions): AsyncGenerator<ConfigChange, void> {
  const { clock } = options
  const bell = new Bell()
  watchDirectory(dirname(options.path), bell, options.signal)
  let { values } = options
  let text = textOf(options.path)
  try {
    while (!options.signal.aborted) {
      const now = textOf(options.path)
      if (now === text) {
        await bell.wait(clock, options.pollMs ?? 30_000, options.signal)
        await clock.sleep(options.quietMs ?? 200, options.signal)
        continue
      }
      text = now
      const change = readAgain(options.argv, values)
      if (change?.type === 'changed') values = change.values
      if (change !== undefined) yield change
    }
  } catch (error) {
    if (!options.signal.aborted) throw error
  }
}

function readAgain(argv: readonly string[], before: SettingValues): ConfigChange | undefined {
  const resolution = resolveConfig(argv)
  if (resolution.action === 'invalid') return { type: 'refused', errors: resolution.errors }
  if (!('config' in resolution)) return undefined
  const { config, values, notes } = resolution
  return { type: 'changed', config, values, notes, changed: changedSettings(before, values) }
}

/** What differs in effect; settings of a mode that is not in use do not count. */
export function changedSettings(from: SettingValues, to: SettingValues): ChangedSettings {
  const live: string[] = []
  const restart: string[] = []
  if (same(assembleConfig(from), assembleConfig(to))) return { live, restart }
  for (const [name, row] of SETTING_ROWS) {
    // A setting counts if taking over its value alone makes a difference.
    if (
      same(from[name], to[name]) ||
      same(assembleConfig(from), assembleConfig({ ...from, [name]: to[name] }))
    )
      continue
    if (row.change === 'live') live.push(nameOf(row, name))
    else if (row.change === 'restart') restart.push(nameOf(row, name))
  }
  return { live, restart }
}

function nameOf(row: Setting<unknown>, name: string): string {
  return row.field ?? (row.flag === undefined ? name : `--${row.flag}`)
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** `undefined` while there is no readable file. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** Where the kernel does not let us watch, the slow look alone must do. */
function watchDirectory(directory: string, bell: Bell, signal: AbortSignal): void {
  try {
    const watcher = watch(directory, { signal, persistent: false }, () => bell.ring())
    watcher.on('error', () => watcher.close())
  } catch {
    // No more inotify watches, or no such directory.
  }
}

/** Wakes one waiter; rings while nobody waits are remembered as one. */
class Bell {
  #rung = false
  #wake: (() => void) | undefined

  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** Until the next ring, but at most `ms`; rejects when the signal is aborted. */
  async wait(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
    const done = new AbortController()
    const rung = new Promise<void>((resolve) => {
      this.#wake = resolve
      if (this.#rung) resolve()
    })
    const slept = clock.sleep(ms, AbortSignal.any([signal, done.signal])).catch(() => undefined)
    await Promise.race([rung, slept])
    done.abort()
    this.#rung = false
    this.#wake = undefined
    signal.throwIfAborted()
  }
}
