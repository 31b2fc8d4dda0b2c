/** The short form of `fairlead doctor`, once, when our rules are in place: what is wrong is told in the log. */
import type { Config } from '../../config/config.ts'
import { examine, START_CHECKS } from '../../explain/doctor/checks.ts'
import type { Exec } from '../../kernel/exec.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import { gatherFacts } from './gather-facts.ts'

const NOT_WELL = 'This node is not as it should be; "fairlead doctor" tells all'
/** Programs that do not answer by then are not waited for. */
const LONGEST_MS = 20_000

export interface StartDoctorOptions {
  readonly config: Config
  readonly exec: Exec
  readonly clock: Clock
  readonly log: Logger
}

export class StartDoctor {
  readonly #options: StartDoctorOptions

  constructor(options: StartDoctorOptions) {
    this.#options = options
  }

  /** Resolves when everything is told, or the signal is aborted; never rejects: a finding is no reason to end. */
  async run(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const { log } = this.#options
    const late = new AbortController()
    try {
      const over = AbortSignal.any([signal, late.signal])
      await Promise.race([this.#examine(over), this.#timeout(over)])
    } catch (error) {
      log.debug({ err: error }, 'Cannot examine this node')
    } finally {
      late.abort()
    }
  }

  async #examine(signal: AbortSignal): Promise<void> {
    const { config, exec, clock, log } = this.#options
    const facts = await gatherFacts({ config, exec, nowMs: clock.now(), signal, short: true })
    if (signal.aborted) return
    for (const { check, level, what, remedy } of examine(facts, START_CHECKS)) {
      if (level === 'ok') log.debug({ check, what }, 'Examined this node')
      else if (level === 'error') log.error({ check, what, remedy }, NOT_WELL)
      else log.warn({ check, what, remedy }, NOT_WELL)
    }
  }

  async #timeout(over: AbortSignal): Promise<void> {
    await this.#options.clock.sleep(LONGEST_MS, over).catch(() => undefined)
  }
}
