/** Which schedulers this kernel has, found out by using them. */
import { type SchedulerContext, SCHEDULERS, moduleOf } from '../backends/ipvs/plan-scheduler.ts'
import { renderCommand } from '../netfilter/ipvs/command.ts'
import { virtualServer } from '../netfilter/ipvs/virtual-server.ts'
import type { IpvsControl } from './ipvs-control.ts'
import { KernelError } from './kernel-error.ts'

/** TEST-NET-2 (RFC 5737): no packet ever goes there. */
const TRIAL = '-t 198.51.100.0:20000'

export class IpvsSchedulers {
  readonly #control: Pick<IpvsControl, 'restore' | 'list'>
  readonly #available = new Set<string>()
  #context: SchedulerContext

  constructor(control: Pick<IpvsControl, 'restore' | 'list'>, defaultScheduler: string) {
    this.#control = control
    this.#context = { defaultScheduler, unavailable: new Set() }
  }

  /** Another object whenever it says something else. */
  get context(): SchedulerContext {
    return this.#context
  }

  /** Throws `KernelError` when the default scheduler is no scheduler or not in this kernel. */
  async requireDefault(signal: AbortSignal): Promise<void> {
    const { defaultScheduler } = this.#context
    if (!SCHEDULERS.has(defaultScheduler))
      throw unusable(`there is no such scheduler`, defaultScheduler, {
        remedy: `set --ipvs-scheduler to one of ${[...SCHEDULERS].join(', ')}`,
      })
    const name = moduleOf(defaultScheduler)
    if (await this.#has(name, signal)) return
    // A kernel without IPVS has no scheduler either; then this is what fails.
    await this.#control.list(signal)
    throw unusable(`this kernel has no module ip_vs_${name}`, defaultScheduler, {
      remedy: `install the module, or set --ipvs-scheduler to another one, such as "rr"`,
    })
  }

  /** The commands with the default scheduler in place of those that this kernel lacks. */
  async withAvailable(script: string, signal: AbortSignal): Promise<string> {
    const used = new Set([...script.matchAll(/ -s (\S+)/g)].map((match) => match[1] ?? ''))
    const missing: string[] = []
    for (const name of used) if (!(await this.#has(name, signal))) missing.push(name)
    if (missing.length === 0) return script
    const { defaultScheduler, unavailable } = this.#context
    this.#context = { defaultScheduler, unavailable: new Set([...unavailable, ...missing]) }
    const lines = script.split('\n').map((line) => {
      const name = / -s (\S+)/.exec(line)?.[1]
      if (name === undefined || !missing.includes(name)) return line
      return line.replace(` -s ${name}`, ` -s ${moduleOf(defaultScheduler)}`).replace(/ -b \S+$/, '')
    })
    return lines.join('\n')
  }

  async #has(name: string, signal: AbortSignal): Promise<boolean> {
    if (this.#available.has(name)) return true
    if (this.#context.unavailable.has(name)) return false
    const server = virtualServer(TRIAL, { scheduler: name, persistentSeconds: undefined })
    const trial = `${renderCommand({ verb: 'add', server })}\n${renderCommand({ verb: 'delete', server })}\n`
    try {
      await this.#control.restore(trial, signal)
    } catch (error) {
      if (!(error instanceof KernelError)) throw error
      if (error.code === 'unsupported') return false
      // A trial that was left behind, or another family's trial at this moment, says nothing about this scheduler.
      if (error.code !== 'already-exists' && error.code !== 'missing-object') throw error
    }
    this.#available.add(name)
    return true
  }
}

function unusable(why: string, scheduler: string, { remedy }: { readonly remedy: string }): KernelError {
  return new KernelError(`Cannot use the IPVS scheduler "${scheduler}": ${why}; ${remedy}`, {
    code: 'unsupported',
    command: ['ipvsadm', '--restore'],
    exitCode: undefined,
    stderr: '',
    script: '',
    line: undefined,
    remedy,
  })
}
