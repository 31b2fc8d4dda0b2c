/**
 * The demo: a cluster on this machine, four scenes that show what a Service is and that it survives what happens to
 * its pods, and a report. Everything it says about the kernel is what the real commands print.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BackendName } from '../../backends/backend.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/logger.ts'
import { ClusterLab } from '../cluster-lab.ts'
import type { PodNetworkName } from '../networks/pod-network.ts'
import { POD_NETWORKS } from '../networks/pod-networks.ts'
import { containersScene, podToPodScene, serviceScene } from './calm-scenes.ts'
import { type DemoResult, demoResult, resultTable } from './demo-result.ts'
import { DemoWorld } from './demo-world.ts'
import { PACES } from './pace.ts'
import { type Milestone, reportPage } from './report-page.ts'
import { survivalScene } from './survival-scene.ts'
import { Tally } from './tally.ts'
import { TerminalView } from './terminal-view.ts'

export interface DemoOptions {
  readonly mode: BackendName
  readonly network: PodNetworkName
  readonly nodes: number
  readonly pods: number
  /** How long the clients connect in the last scene, about. */
  readonly seconds: number
  readonly kernel: DemoResult['kernel']
  /** `[node, dist/main.js]`. */
  readonly program: readonly string[]
  /** Further flags for every Fairlead of the demo. */
  readonly flags: readonly string[]
  readonly iptables: string
  /** `--json`: where the result goes as well; `undefined`: nowhere. */
  readonly json: string | undefined
  /** Folder for the page with the charts. */
  readonly pageDirectory: string
  /** `performance.now()` at the start of the command. */
  readonly commandStartedMs: number
  readonly write: (text: string) => void
  readonly isTerminal: boolean
  readonly clock: Clock
  readonly log: Logger
}

/** `keep`: told when the lab is up and before it goes, with the cluster still there. */
export async function runDemo(
  options: DemoOptions,
  context: { readonly signal: AbortSignal; readonly keep: (lab: ClusterLab) => Promise<void> },
): Promise<DemoResult> {
  const { clock, write, isTerminal } = options
  const view = new TerminalView({ write, isTerminal, now: () => clock.now() })
  view.say(headline(options))
  const lab = await ClusterLab.up({
    ...options,
    network: POD_NETWORKS[options.network],
    signal: context.signal,
  })
  try {
    const world = new DemoWorld({
      lab,
      clock,
      signal: context.signal,
      pods: options.pods,
      pace: PACES[options.kernel],
      tally: new Tally(),
      view,
    })
    const result = await scenes(world, options)
    await context.keep(lab)
    return result
  } finally {
    await lab.down()
  }
}

async function scenes(world: DemoWorld, options: DemoOptions): Promise<DemoResult> {
  const { commandStartedMs, clock } = options
  await world.populate()
  const firstAnswerMs = await world.firstAnswer(() => clock.monotonic() - commandStartedMs)
  world.view.say(`\nThe Service answers ${Math.round(firstAnswerMs)} ms after the command.\n`)
  await containersScene(world)
  await podToPodScene(world)
  await serviceScene(world, options)
  const survival = await survivalScene(world, options.seconds)
  const { mode, network, kernel, nodes, pods } = options
  const facts = { mode, network, kernel, nodes, pods, firstAnswerMs, ...survival }
  const result = demoResult(world.tally, facts)
  tellResult(world, result, options, survival.milestones)
  return result
}

function headline({ mode, network, nodes, pods, kernel }: DemoOptions): string {
  const where = kernel === 'host' ? "this machine's kernel" : 'a user-mode-linux kernel'
  return `Fairlead in ${mode} mode on ${where}: ${nodes} nodes, ${pods} pods, pod network "${network}" (${POD_NETWORKS[network].about})`
}

function tellResult(
  world: DemoWorld,
  result: DemoResult,
  options: DemoOptions,
  milestones: readonly Milestone[],
): void {
  world.view.say(`\nResult\n${resultTable(result)}`)
  const page = join(options.pageDirectory, `fairlead-demo-${options.mode}-${options.network}.html`)
  writeFileSync(page, reportPage(result, world.tally, milestones))
  world.view.say(`\nCharts: ${page}`)
  if (options.json === undefined) return
  writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`)
  world.view.say(`JSON: ${options.json}`)
}
