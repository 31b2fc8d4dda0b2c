/** What is going on and how long it will go on, as lines on standard error. */

export interface Job {
  readonly name: string
  /** A guess; what the jobs before really took corrects it. */
  readonly expectedSeconds: number
}

export class Progress {
  readonly #jobs: readonly Job[]
  readonly #write: (line: string) => void
  readonly #now: () => number
  readonly #startedMs: number
  #index = -1

  constructor(jobs: readonly Job[], options: { write?: (line: string) => void; now?: () => number } = {}) {
    this.#jobs = jobs
    this.#write = options.write ?? ((line) => process.stderr.write(`${line}\n`))
    this.#now = options.now ?? (() => performance.now())
    this.#startedMs = this.#now()
  }

  /** The next job begins. */
  next(): void {
    this.#index++
    this.step('')
  }

  /** Something new within the job. */
  step(what: string): void {
    const job = this.#jobs[this.#index]
    const where = `[${this.#index + 1}/${this.#jobs.length}]`
    const left = remainingText(this.remainingSeconds())
    this.#write(`${where} ${job?.name ?? ''}${what === '' ? '' : `: ${what}`} (${left})`)
  }

  /** Of this job and those after it. */
  remainingSeconds(): number {
    const seconds = (jobs: readonly Job[]): number => jobs.reduce((sum, job) => sum + job.expectedSeconds, 0)
    const done = seconds(this.#jobs.slice(0, this.#index))
    const elapsed = (this.#now() - this.#startedMs) / 1000
    const pace = done === 0 ? 1 : elapsed / done
    const all = seconds(this.#jobs) * pace
    return Math.max(0, all - elapsed)
  }
}

export function remainingText(seconds: number): string {
  if (seconds < 10) return 'nearly done'
  if (seconds < 90) return `about ${Math.round(seconds / 10) * 10} s left`
  return `about ${Math.round(seconds / 60)} min left`
}
