/**
 * Judges conformance cases by packets: lays a case out in a node bed, lets a proxy follow each of its steps, probes
 * every flow and compares. Runs under jest and as a plain program (inside user-mode-linux) alike.
 */
import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import type { BackendName } from '../../src/backends/backend.ts'
import type {
  ConformanceCase,
  ConformanceFlow,
  ConformanceNode,
  ConformanceStep,
  Outcome,
} from '../conformance/conformance-case.ts'
import type { KnownDifference } from '../conformance/known-differences.ts'
import {
  complaint,
  hopesFor,
  renderOutcome,
  toleratedOutcome,
  wantedOutcome,
} from './conformance-kernel-judge.ts'
import { layoutOf, listenersOf } from './conformance-kernel-layout.ts'
import { NodeBed } from './node-bed.ts'
import { type ProbedFlow, probe, type Sighting } from './packet-prober.ts'

/** A proxy of one mode, to be started on any bed. */
export interface ProxyUnderTest {
  /** For people: `iptables (legacy)`. */
  readonly title: string
  readonly mode: BackendName
  /** Whatever an earlier case left in the kernel must not matter. */
  start(bed: NodeBed, node: ConformanceNode): Promise<RunningProxy>
}

export interface RunningProxy {
  /** Resolves when the kernel does what the step's objects ask for. */
  follow(step: ConformanceStep, localIps: readonly string[]): Promise<void>
  /** What is in the kernel, as the tools print it. */
  rules(): Promise<string>
}

export interface CaseResult {
  readonly name: string
  readonly passed: number
  /** Flows that were not sent, by reason. */
  readonly skipped: Readonly<Record<string, number>>
  /** Each with flow, expectation, observation and rules. */
  readonly failures: readonly string[]
  /** Indices of the known differences that some flow of the case needed. */
  readonly differences: readonly number[]
  readonly ms: number
}

export interface KernelRun {
  readonly proxy: ProxyUnderTest
  readonly cases: readonly ConformanceCase[]
  readonly differences: readonly KnownDifference[]
  /** Cases under way at once; most of a case is waiting for silence. */
  readonly beds: number
  /** No further case is started once it is aborted; those left over are rejected. */
  readonly signal?: AbortSignal
}

const SCTP_REASON =
  'SCTP: neither Node.js nor every kernel has SCTP sockets; the rules are the same as for TCP'

/** Starts all cases; every promise settles by itself, so that each case can be a test of its own. */
export function runCases(run: KernelRun): ReadonlyMap<string, Promise<CaseResult>> {
  const queue = run.cases.map((given) => ({ given, settled: Promise.withResolvers<CaseResult>() }))
  const promises = new Map(queue.map(({ given, settled }) => [given.name, settled.promise]))
  for (const promise of promises.values()) promise.catch(() => undefined)
  const waiting = [...queue]
  const work = async (): Promise<void> => {
    let bed: NodeBed | undefined
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      try {
        run.signal?.throwIfAborted()
        bed ??= await NodeBed.create()
        next.settled.resolve(await runCase(run, next.given, bed))
      } catch (error) {
        next.settled.reject(new Error(`${next.given.name}: ${String(error)}`, { cause: error }))
        // Nobody knows what state it is in.
        await bed?.close()
        bed = undefined
      }
    }
    await bed?.close()
  }
  for (let i = 0; i < run.beds; i++) void work()
  return promises
}

async function runCase(run: KernelRun, given: ConformanceCase, bed: NodeBed): Promise<CaseResult> {
  const startedMs = performance.now()
  const { proxy } = run
  await bed.configure(layoutOf(given))
  await bed.listen(listenersOf(given))
  await bed.sysctl({ 'net/ipv4/conf/all/route_localnet': usesLocalnet(proxy.mode, given.node) ? '1' : '0' })
  const running = await proxy.start(bed, given.node)
  const result = { passed: 0, skipped: {} as Record<string, number>, failures: [] as string[] }
  const used = new Set<number>()
  for (const step of given.steps) {
    await running.follow(step, bed.localIps())
    await bed.run('conntrack', ['-F'])
    let rules: Promise<string> | undefined
    const verdicts = await judgeStep({
      run,
      given,
      bed,
      running,
      step,
      rules: () => (rules ??= running.rules()),
    })
    for (const verdict of verdicts) {
      if (verdict.difference !== undefined) used.add(verdict.difference)
      if (verdict.skipped !== undefined)
        result.skipped[verdict.skipped] = (result.skipped[verdict.skipped] ?? 0) + 1
      else if (verdict.failure === undefined) result.passed++
      else result.failures.push(verdict.failure)
    }
  }
  return {
    name: given.name,
    ...result,
    differences: [...used],
    ms: Math.round(performance.now() - startedMs),
  }
}

interface StepContext {
  readonly run: KernelRun
  readonly given: ConformanceCase
  readonly bed: NodeBed
  readonly running: RunningProxy
  readonly step: ConformanceStep
  /** Asked once, however many flows fail. */
  readonly rules: () => Promise<string>
}

interface Verdict {
  readonly skipped?: string
  readonly failure?: string
  /** The known difference that saved the flow. */
  readonly difference?: number
}

async function judgeStep(context: StepContext): Promise<Verdict[]> {
  const { step } = context
  const borrowing = step.flows.filter((flow) => flow.from === 'node-owning-source-address')
  const sticky = step.flows.filter((flow) => flow.affinitySeconds !== undefined)
  const rest = step.flows.filter((flow) => !borrowing.includes(flow) && !sticky.includes(flow))
  const verdicts = await Promise.all([
    ...rest.map((flow) => judge(context, flow)),
    // Two flows of one client would race for the first, and so the lasting, choice of an endpoint.
    inTurn(sticky, (flow) => judge(context, flow)),
  ])
  const late = await inTurn(borrowing, (flow) => judgeBorrowed(context, flow))
  return [...verdicts.flat(), ...late]
}

/** The node has the sender's address only as long as the flow lasts, and the proxy knows of it. */
async function judgeBorrowed(context: StepContext, flow: ConformanceFlow): Promise<Verdict> {
  const { bed, running, step } = context
  const verdict = await bed.withNodeAddress(flow.sourceIp, async () => {
    await running.follow(step, [...bed.localIps(), flow.sourceIp])
    return judge(context, flow)
  })
  await running.follow(step, bed.localIps())
  return verdict
}

async function judge(context: StepContext, flow: ConformanceFlow): Promise<Verdict> {
  const { run, given, bed } = context
  if (flow.protocol === 'SCTP') return { skipped: SCTP_REASON }
  const wanted = wantedOutcome(flow, run.proxy.mode)
  if (wanted === undefined) return { skipped: 'no outcome is recorded for this mode' }
  const probed: ProbedFlow = { ...flow, protocol: flow.protocol, place: placeOf(flow) }
  const known = differenceOf(run, given, flow)
  const hoped = known?.instead ?? wanted
  const hopes = hopesFor(flow, hoped)
  const firstSeen = await probe(bed, probed, hopes)
  // Silence is also what a machine that is too busy to answer sounds like.
  const isDoubtful = hopes.kind !== 'drop' && firstSeen.some(({ kind }) => kind === 'drop')
  const seen = isDoubtful ? await probe(bed, probed, { ...hopes, patient: true }) : firstSeen
  // What is as kube-proxy does it is right, whatever the list of differences says.
  const fine = [wanted, toleratedOutcome(flow, run.proxy.mode)]
  if (fine.some((outcome) => outcome !== undefined && complaint(flow, outcome, seen) === undefined)) return {}
  if (known !== undefined && complaint(flow, known.instead, seen) === undefined)
    return { difference: known.index }
  return { failure: await describeFailure(context, { flow, wanted: hoped, seen }) }
}

function placeOf(flow: ConformanceFlow): 'node' | 'world' {
  return flow.from === 'node' || flow.from === 'localhost' || flow.from === 'node-owning-source-address'
    ? 'node'
    : 'world'
}

function differenceOf(run: KernelRun, given: ConformanceCase, flow: ConformanceFlow) {
  for (const [index, entry] of run.differences.entries()) {
    if (
      !entry.modes.includes(run.proxy.mode) ||
      !entry.cases.test(given.name) ||
      !entry.flows.test(flow.name)
    )
      continue
    const instead = entry.instead(flow)
    if (instead !== undefined) return { index, instead }
  }
  return undefined
}

/** NodePorts on 127.0.0.1 need the kernel to route it; the daemon of iptables mode sees to that. */
function usesLocalnet(mode: BackendName, node: ConformanceNode): boolean {
  if (mode !== 'iptables' || !node.localhostNodePorts || node.family !== 'IPv4') return false
  const addresses = node.nodePortAddresses
  return addresses === 'all' || (addresses !== 'primary' && addresses.some((cidr) => cidr.startsWith('127.')))
}

async function describeFailure(
  context: StepContext,
  failed: { readonly flow: ConformanceFlow; readonly wanted: Outcome; readonly seen: readonly Sighting[] },
): Promise<string> {
  const { given, step, run } = context
  const { flow, wanted, seen } = failed
  const rules = await context.rules()
  const file = `${tmpdir()}/fairlead-rules-${run.proxy.mode}-${given.name}-${step.name}.txt`.replaceAll(
    ' ',
    '-',
  )
  writeFileSync(file, rules)
  const words = [flow.destIp, String(flow.destPort), ...(wanted.kind === 'dnat' ? wanted.endpoints : [])]
  const relevant = rules.split('\n').filter((line) => words.some((word) => line.includes(word)))
  return [
    `${run.proxy.title}: ${given.name}, ${step.name}, flow "${flow.name}" (${flow.grade})`,
    `  packet:   ${flow.protocol} from ${flow.from} ${flow.sourceIp} to ${flow.destIp} port ${flow.destPort}`,
    `  expected: ${renderOutcome(wanted)}`,
    `  but:      ${complaint(flow, wanted, seen) ?? 'nothing'}`,
    `  rules that mention it (all: ${file}):`,
    ...relevant.slice(0, 30).map((line) => `    ${line.trim()}`),
  ].join('\n')
}

async function inTurn<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (const item of items) results.push(await work(item))
  return results
}
