/** The daemon as a command: from a valid configuration to an exit code, with a new one whenever the file changes. */
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import type { Config } from '../config/config.ts'
import { watchConfig } from '../config/config-watch.ts'
import type { SettingValues } from '../config/settings.ts'
import { configTree, flagValues } from '../config/write-config.ts'
import { Proxy } from '../daemon/proxy.ts'
import { keepRaised, wantedSysctls } from '../kernel/conntrack-sysctls.ts'
import { ProgramRunner } from '../kernel/program-runner.ts'
import { systemClock } from '../runtime/clock.ts'
import { type AdjustableLogger, createLogger } from '../runtime/create-logger.ts'
import { readVersion } from './version.ts'

/** What the operator asked for. */
export interface Wanted {
  readonly config: Config
  readonly values: SettingValues
  readonly notes: readonly string[]
}

/** Resolves to 0 when `signal` ended it. Throws what made it impossible to go on. */
export async function runDaemon(
  wanted: Wanted,
  argv: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const log = loggerOf(wanted.config)
  const next = { wanted }
  const reloads: Record<Reload, number> = { applied: 0, refused: 0 }
  while (!signal.aborted) {
    const reload = new AbortController()
    const current = next.wanted
    const running: Running = { proxy: undefined }
    const following = followConfig(
      argv,
      { current, log, signal: AbortSignal.any([signal, reload.signal]) },
      (outcome, changed) => {
        reloads[outcome]++
        running.proxy?.metrics.recordConfigReload(outcome)
        if (changed === undefined) return
        next.wanted = changed
        reload.abort()
      },
    )
    await runOnce(current, { log, reloads, running }, AbortSignal.any([signal, reload.signal]))
    reload.abort()
    await following
  }
  log.info({}, 'Fairlead ends; what is in the kernel stays there')
  return 0
}

type Reload = 'applied' | 'refused'

interface Running {
  proxy: Proxy | undefined
}

interface RunContext {
  readonly log: AdjustableLogger
  /** What became of changed configuration files so far; each proxy counts anew, and these with it. */
  readonly reloads: Readonly<Record<Reload, number>>
  readonly running: Running
}

async function runOnce(
  { config, values, notes }: Wanted,
  { log, reloads, running }: RunContext,
  signal: AbortSignal,
): Promise<void> {
  const version = readVersion().number
  for (const note of notes) log.info({ note }, 'About a setting')
  setOomScore(config.oomScoreAdj, log)
  const exec = new ProgramRunner()
  const proxy = new Proxy({
    ...{ config, version, exec, log },
    clock: systemClock,
    env: process.env,
    document: configTree(values),
    flags: flagValues(values),
    setVerbosity: (level) => log.setVerbosity(level),
  })
  for (const outcome of ['applied', 'refused'] as const)
    proxy.metrics.recordConfigReload(outcome, reloads[outcome])
  running.proxy = proxy
  log.info({ version, mode: config.mode, node: proxy.nodeName, pid: process.pid }, 'Fairlead starts')
  const ended = new AbortController()
  const wanted = wantedSysctls(config.conntrack, cpus().length)
  const raising = keepRaised(
    { exec, clock: systemClock, logger: log, wanted },
    AbortSignal.any([signal, ended.signal]),
  )
  // Being ended in the middle of a program is the one way in which this rejects.
  const settings = raising.catch(() => [])
  try {
    await proxy.run(signal)
  } finally {
    ended.abort()
    await settings
  }
}

interface Following {
  readonly current: Wanted
  readonly log: AdjustableLogger
  readonly signal: AbortSignal
}

/** Tells what becomes of each change of the configuration file; ends with the first usable one. */
async function followConfig(
  argv: readonly string[],
  { current, log, signal }: Following,
  tell: (outcome: Reload, changed?: Wanted) => void,
): Promise<void> {
  const { configFile: path } = current.config
  if (path === undefined) return
  for await (const change of watchConfig({
    argv,
    path,
    values: current.values,
    signal,
    clock: systemClock,
  })) {
    if (change.type === 'refused') {
      for (const { message } of change.errors)
        log.error({ reason: message }, 'The changed configuration is refused; the one before it stays')
      tell('refused')
      continue
    }
    const { live, restart } = change.changed
    if (live.length + restart.length === 0) continue
    log.info(
      { settings: [...live, ...restart] },
      'The configuration changed; starting over with it, the kernel keeps answering',
    )
    tell('applied', change)
    return
  }
}

function loggerOf(config: Config): AdjustableLogger {
  const { format, verbosity } = config.logging
  return createLogger({ format, verbosity, write: (line) => process.stderr.write(line) })
}

/** Nothing depends on it; without the right to do it we say so once. */
function setOomScore(score: number, log: AdjustableLogger): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', String(score))
  } catch (error) {
    log.debug({ err: error, score }, 'Cannot set the out-of-memory score')
  }
}
