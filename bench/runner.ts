/** From jobs to results: one bed per job, so that no job inherits anything from the one before. */
import { copyFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Bed } from './bed.ts'
import { measureChanges, measureRest, measureStart } from './control-plane.ts'
import { measureData } from './data-plane.ts'
import { loadLayout, measurePlain } from './floor.ts'
import { kubeProxyIptables, kubeProxyNftables } from './layouts.ts'
import { loadNow } from './machine.ts'
import type { Job, Progress } from './progress.ts'
import type { Result, SubjectKind } from './results.ts'
import type { Scenario } from './scenarios.ts'
import {
  fairlead,
  METRICS_ADDRESS,
  type Mode,
  type Peer,
  peerSubject,
  proxyModeOf,
  type Subject,
} from './subjects.ts'
import { measureSustained } from './sustained.ts'
import { measureTrouble } from './trouble.ts'
import { benchInUml, kernelHasIpvs } from './uml.ts'

/** Above this, kube-proxy's layouts take minutes to load, and show nothing that smaller sizes do not. */
const MOST_SERVICES_OF_LAYOUT = 10_000
const MOST_ENDPOINTS_OF_LAYOUT = 50_000

/** Looks at connection tracking and the collection of garbage follow the last change by some seconds. */
const REST = { settleMs: 10_000, forMs: 10_000 }
const QUICK_REST = { settleMs: 2000, forMs: 3000 }

export interface BenchJob extends Job {
  readonly scenario: Scenario
  readonly kind: SubjectKind
  readonly mode: Mode
  /** `undefined` for a layout. */
  readonly subject: Subject | undefined
  /** Measured by the same job, because a machine of its own must be booted for it. */
  readonly peers: readonly Peer[]
}

export interface RunnerOptions {
  readonly progress: Progress
  readonly quick: boolean
  readonly floor: boolean
  /** Where the proxies' logs are copied to; `undefined`: nowhere. */
  readonly logs: string | undefined
}

type Figures = { -readonly [Key in keyof Result]?: Result[Key] }

/** Fairlead and its peers in one scenario and mode. */
export function subjectJobs(
  scenario: Scenario,
  mode: Mode,
  peers: readonly Peer[],
  inUml = needsUml(mode),
): BenchJob[] {
  const own = fairlead(mode)
  const usualSeconds = scenario.exercise === 'size' ? 12 + scenario.services / 400 : 40
  const job = (subject: Subject, kind: SubjectKind): BenchJob => {
    const name = `${subject.name}, ${scenario.about}`
    return { name, scenario, kind, mode, subject, peers: [], expectedSeconds: usualSeconds }
  }
  const others = peers.map((peer) => job(peerSubject(peer, mode), 'peer'))
  if (inUml) return [{ ...job(own, 'fairlead'), peers, expectedSeconds: 120 * (1 + peers.length) }]
  return [job(own, 'fairlead'), ...others]
}

/** kube-proxy's layout in this mode; `undefined` where it would tell nothing or take too long. */
export function layoutJob(scenario: Scenario, mode: Mode): BenchJob | undefined {
  const { services, endpoints, exercise } = scenario
  const tooLarge = services > MOST_SERVICES_OF_LAYOUT || services * endpoints > MOST_ENDPOINTS_OF_LAYOUT
  // In the nft variant the time to load chains grows with their square: minutes for 60,000 of them.
  const tooSlow = mode !== 'iptables-legacy' && services * endpoints > 25_000
  if (mode === 'ipvs' || exercise !== 'size' || tooLarge || tooSlow) return undefined
  const name = `kube-proxy's layout, ${mode}, ${scenario.about}`
  const expectedSeconds = 5 + services / 200
  return { name, scenario, kind: 'layout', mode, subject: undefined, peers: [], expectedSeconds }
}

/** Never rejects: what went wrong is part of the result. */
export async function runJob(job: BenchJob, options: RunnerOptions): Promise<Result[]> {
  const { scenario, kind, mode, subject, peers } = job
  const { name, services, endpoints } = scenario
  const known = {
    ...{ scenario: name, services, endpoints, kind, mode },
    subject: subject?.name ?? `kube-proxy's layout ${mode}`,
    loadAverage: loadNow(),
  }
  const figures: Figures = {}
  try {
    if (needsUml(mode)) return await benchInUml(name, { quick: options.quick, peers })
    await inBed(job, { figures, options })
  } catch (error) {
    figures.failure = error instanceof Error ? error.message : String(error)
  }
  return [{ ...known, ...figures }]
}

function needsUml(mode: Mode): boolean {
  return mode === 'ipvs' && !kernelHasIpvs()
}

async function inBed(job: BenchJob, context: { figures: Figures; options: RunnerOptions }): Promise<void> {
  const { scenario, subject } = job
  const { figures, options } = context
  const bed = await Bed.create(scenario, { withApi: subject !== undefined })
  try {
    if (subject === undefined) await measureLayout(bed, job, figures)
    else await measureSubject(bed, { ...job, subject }, context)
  } finally {
    if (options.logs !== undefined) copyLogs(bed, options.logs)
    await bed.close()
  }
}

async function measureLayout(bed: Bed, job: BenchJob, figures: Figures): Promise<void> {
  const { scenario, mode } = job
  const layout = mode === 'nftables' ? kubeProxyNftables(scenario) : kubeProxyIptables(scenario)
  figures.plain = await loadLayout(bed, mode, layout)
  figures.data = await measureData(bed, scenario.connections)
}

async function measureSubject(
  bed: Bed,
  job: BenchJob & { readonly subject: Subject },
  { figures, options }: { figures: Figures; options: RunnerOptions },
): Promise<void> {
  const { scenario, subject, mode } = job
  const { progress, quick } = options
  progress.step('start')
  const { proxy, figures: start } = await measureStart(bed, subject)
  figures.start = start
  let running = proxy
  try {
    await checkMode(bed, mode)
    if (scenario.exercise === 'size') {
      progress.step('new connections')
      figures.data = await measureData(bed, scenario.connections)
      progress.step('sustained load')
      figures.sustained = await measureSustained(bed, quick ? 1 : 3)
      if (scenario.changes > 0) {
        progress.step('changes')
        figures.change = await measureChanges(bed, proxy, scenario.changes)
      }
      progress.step('rest')
      figures.rest = await measureRest(proxy, quick ? QUICK_REST : REST)
    } else {
      progress.step(scenario.about)
      const { proxy: left, figures: trouble } = await measureTrouble({ bed, subject, proxy }, scenario)
      figures.trouble = trouble
      running = left
    }
  } finally {
    await running.kill('SIGTERM')
  }
  if (!options.floor || scenario.exercise !== 'size' || job.kind !== 'fairlead') return
  progress.step('the same objects by the plain tool')
  figures.plain = await measurePlain(bed, mode)
}

/** A peer that does not know a mode takes another one; its figures would stand under the wrong name. */
async function checkMode(bed: Bed, mode: Mode): Promise<void> {
  const wanted = proxyModeOf(mode)
  const script = `process.stdout.write(await (await fetch('http://${METRICS_ADDRESS}/proxyMode')).text())`
  const runs = await bed.node.run(process.execPath, ['--input-type=module', '--eval', script])
  if (runs === wanted) return
  throw new Error(`Cannot measure ${wanted} mode: the proxy runs in ${runs} mode; leave this mode out`)
}

function copyLogs(bed: Bed, directory: string): void {
  const logs = readdirSync(bed.directory).filter((file) => file.endsWith('.log'))
  const size = `${bed.size.services}x${bed.size.endpoints}`
  for (const log of logs) copyFileSync(join(bed.directory, log), join(directory, `${size}-${log}`))
}
