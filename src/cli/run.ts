/** The daemon as a command: from a valid configuration to an exit code. */
import { writeFileSync } from 'node:fs'
import type { Config } from '../config/config.ts'
import { Proxy } from '../daemon/proxy.ts'
import { ProgramRunner } from '../kernel/program-runner.ts'
import { systemClock } from '../runtime/clock.ts'
import { createLogger } from '../runtime/create-logger.ts'
import type { Logger } from '../runtime/logger.ts'
import { readVersion } from './version.ts'

/** Resolves to 0 when `signal` ended it. Throws what made it impossible to go on. */
export async function runDaemon(
  config: Config,
  notes: readonly string[],
  signal: AbortSignal,
): Promise<number> {
  const { format, verbosity } = config.logging
  const log = createLogger({ format, verbosity, write: (line) => process.stderr.write(line) })
  const version = readVersion().number
  for (const note of notes) log.info({ note }, 'About a setting')
  setOomScore(config.oomScoreAdj, log)
  const proxy = new Proxy({
    config,
    version,
    exec: new ProgramRunner(),
    clock: systemClock,
    log,
    env: process.env,
  })
  log.info({ version, mode: config.mode, node: proxy.nodeName, pid: process.pid }, 'Fairlead starts')
  await proxy.run(signal)
  log.info({}, 'Fairlead ends; what is in the kernel stays there')
  return 0
}

/** Nothing depends on it; without the right to do it we say so once. */
function setOomScore(score: number, log: Logger): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', String(score))
  } catch (error) {
    log.debug({ err: error, score }, 'Cannot set the out-of-memory score')
  }
}
