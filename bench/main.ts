/** `npm run bench`: what Fairlead costs and what others cost, side by side, on this machine. See README.md. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeMachine } from './machine.ts'
import { type Options, parseOptions, USAGE } from './options.ts'
import { Progress } from './progress.ts'
import { reportPage } from './report-page.ts'
import { reportTables } from './report-table.ts'
import type { Report, Result } from './results.ts'
import { type BenchJob, layoutJob, runJob, subjectJobs } from './runner.ts'
import type { Scenario } from './scenarios.ts'
import { type Mode, MODES } from './subjects.ts'
import { kernelHasIpvs, MOST_SERVICES_IN_UML } from './uml.ts'

/** `--quick` promises three minutes; what would begin later is left out, and the report says so. */
const QUICK_LIMIT_SECONDS = 165

async function main(argv: readonly string[]): Promise<number> {
  const options = parseOptions(argv)
  if (options.help) {
    process.stdout.write(USAGE)
    return 0
  }
  if (process.getuid?.() !== 0)
    throw new Error('Cannot measure: network namespaces and kernel rules need root; run as root')
  const { modes, notes } = chosenModes(options)
  const jobs = planJobs(options, modes)
  mkdirSync(options.out, { recursive: true })
  const report = await run(options, jobs, notes)
  const page = join(options.out, 'report.html')
  writeFileSync(page, reportPage(report))
  process.stdout.write(`${reportTables(report)}\nCharts: ${page}\n`)
  return report.results.some(({ failure, kind }) => failure !== undefined && kind === 'fairlead') ? 1 : 0
}

async function run(options: Options, jobs: readonly BenchJob[], known: readonly string[]): Promise<Report> {
  const startedAt = new Date()
  const machine = describeMachine()
  const notes = [...known]
  const progress = new Progress(jobs)
  const elapsed = (): number => (Date.now() - startedAt.getTime()) / 1000
  const results: Result[] = []
  const logs = options.keepLogs ? options.out : undefined
  const peers = options.peers.map(({ name, path }) => `${name}=${path}`)
  const report = (): Report => ({
    ...{ machine, startedAt: startedAt.toISOString(), tookSeconds: Math.round(elapsed()) },
    ...{ quick: options.quick, peers, results, notes },
  })
  for (const job of jobs) {
    progress.next()
    if (options.quick && elapsed() + job.expectedSeconds > QUICK_LIMIT_SECONDS) {
      notes.push(`${job.name}: left out, because --quick ends in three minutes`)
      continue
    }
    const found = await runJob(job, { progress, quick: options.quick, floor: options.floor, logs })
    for (const { failure } of found)
      if (failure !== undefined) progress.step(`failed: ${failure.split('\n')[0] ?? ''}`)
    results.push(...found)
    save(options, report())
  }
  save(options, report())
  return report()
}

/** After every job, so that a run that is broken off leaves what it has found. */
function save({ out, json }: Options, report: Report): void {
  const text = `${JSON.stringify(report, undefined, 2)}\n`
  for (const file of [join(out, 'report.json'), ...(json === undefined ? [] : [json])])
    writeFileSync(file, text)
}

function chosenModes({ modes, peers }: Options): { modes: readonly Mode[]; notes: string[] } {
  const notes: string[] = []
  if (peers.length === 0)
    notes.push(
      'No peer was given (--peer kube-proxy=PATH): Fairlead is compared with the plain tools and with kube-proxy’s rule layouts written by the bench',
    )
  if (modes.length > 0) return { modes, notes }
  if (!kernelHasIpvs())
    notes.push(
      'This kernel has no IPVS: ipvs is measured in user-mode-linux, with one processor and slow system calls; compare it only with itself',
    )
  return { modes: MODES, notes }
}

/** Scenario by scenario, so that what is compared is measured close together in time. */
function planJobs({ scenarios, peers, floor }: Options, modes: readonly Mode[]): BenchJob[] {
  return scenarios.flatMap((scenario) =>
    modes.flatMap((mode) => {
      if (mode === 'ipvs' && !fitsIpvs(scenario)) return []
      const layout = floor ? layoutJob(scenario, mode) : undefined
      return [...subjectJobs(scenario, mode, peers), ...(layout === undefined ? [] : [layout])]
    }),
  )
}

/** Without IPVS in this kernel, only what user-mode-linux can bear. */
function fitsIpvs({ services, endpoints, exercise }: Scenario): boolean {
  if (kernelHasIpvs()) return true
  return (
    exercise === 'size' &&
    services <= MOST_SERVICES_IN_UML &&
    services * endpoints <= 5 * MOST_SERVICES_IN_UML
  )
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
