/** `fairlead lab up|down|status`: a lab that keeps running, for `kubectl` and for one's own experiments. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { ClusterLab } from '../../lab/cluster-lab.ts'
import { webDeployment, webService } from '../../lab/demo/manifests.ts'
import { POD_NETWORKS } from '../../lab/networks/pod-networks.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createLogger } from '../../runtime/create-logger.ts'
import { LAB_FLAGS_HELP, type LabFlags, readLabFlags } from './lab-flags.ts'

export const LAB_HELP = `A Kubernetes node network on this machine, in network namespaces; as root.

Usage: fairlead lab up [flags]     start it; ends with Ctrl-C or "lab down"
       fairlead lab status         is one running, and how to reach it
       fairlead lab down           end it, and whatever a crash left
       fairlead lab demo [flags]   the demo (npm run demo)

${LAB_FLAGS_HELP}  --keep             (up) go to the background once the lab is up
`

/** Who runs the lab; it exists exactly while a lab runs, or after the lab was killed. */
const STATE_FILE = '/run/fairlead/lab.json'

interface LabState {
  readonly pid: number
  /** Clock ticks since boot at which the process started: a later process with the same number is another one. */
  readonly startTicks: string
  readonly kubeconfig: string
  readonly about: string
}

/** Resolves to the exit code. Throws ConfigError for wrong usage. */
export async function labUp(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const flags = readLabFlags(argv)
  const running = runningLab()
  if (running !== undefined) {
    process.stderr.write(
      `Cannot start a lab: one runs already (${running.about}, process ${running.pid}); end it with "fairlead lab down"\n`,
    )
    return 1
  }
  if (flags.keep) return inBackground(argv.filter((word) => word !== '--keep'))
  const lab = await start(flags)
  try {
    writeState({
      pid: process.pid,
      startTicks: startTicks(process.pid) ?? '',
      kubeconfig: lab.kubeconfigPath,
      about: about(flags),
    })
    process.stdout.write(
      `The lab is up: ${about(flags)}.\nTry: kubectl --kubeconfig ${lab.kubeconfigPath} get pods,services -o wide\n`,
    )
    await aborted(signal)
  } finally {
    await lab.down()
    rmSync(STATE_FILE, { force: true })
  }
  return 0
}

export function labStatus(): number {
  const running = runningLab()
  process.stdout.write(
    running === undefined
      ? 'No lab is running.\n'
      : `${running.about}, process ${running.pid}\nkubeconfig: ${running.kubeconfig}\n`,
  )
  return running === undefined ? 1 : 0
}

/** Namespaces, devices, rules and processes of a lab end with its process; only its files can be left. */
export async function labDown(): Promise<number> {
  const running = runningLab()
  const state = readState()
  if (running !== undefined) {
    process.kill(running.pid, 'SIGTERM')
    for (let waits = 0; waits < 200 && runningLab() !== undefined; waits++) await systemClock.sleep(50)
    if (runningLab() !== undefined) process.kill(running.pid, 'SIGKILL')
  }
  if (state !== undefined) rmSync(dirname(state.kubeconfig), { recursive: true, force: true })
  rmSync(STATE_FILE, { force: true })
  process.stdout.write(running === undefined ? 'No lab was running.\n' : 'The lab is gone.\n')
  return 0
}

async function start(flags: LabFlags): Promise<ClusterLab> {
  const log = createLogger({ format: 'text', verbosity: 0, write: (line) => process.stderr.write(line) })
  const program = [process.execPath, '--disable-warning=ExperimentalWarning', process.argv[1] ?? '']
  const network = POD_NETWORKS[flags.network]
  const lab = await ClusterLab.up({ ...flags, network, program, flags: [], iptables: 'iptables', log })
  lab.startProxies()
  lab.api.create(webDeployment(flags.pods))
  lab.api.create(webService())
  return lab
}

function about({ nodes, pods, mode, network }: LabFlags): string {
  return `${nodes} nodes, ${pods} pods, ${mode} mode, ${network} network`
}

async function inBackground(argv: readonly string[]): Promise<number> {
  const args = ['--disable-warning=ExperimentalWarning', process.argv[1] ?? '', 'lab', 'up', ...argv]
  const child = spawn(process.execPath, args, { detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
  const said = new Promise<number>((resolve) => {
    child.stdout.on('data', (text: Buffer) => {
      process.stdout.write(text)
      if (text.includes('Try:')) resolve(0)
    })
    child.on('exit', (code) => resolve(code ?? 1))
  })
  const exitCode = await said
  child.stdout.destroy()
  child.unref()
  return exitCode
}

async function aborted(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function runningLab(): LabState | undefined {
  const state = readState()
  return state !== undefined && startTicks(state.pid) === state.startTicks ? state : undefined
}

function readState(): LabState | undefined {
  if (!existsSync(STATE_FILE)) return undefined
  return JSON.parse(readFileSync(STATE_FILE, 'utf8')) as LabState
}

function writeState(state: LabState): void {
  mkdirSync(dirname(STATE_FILE), { recursive: true })
  writeFileSync(STATE_FILE, JSON.stringify(state), { mode: 0o600 })
}

/** Field 22 of /proc/PID/stat; `undefined` when there is no such process. */
function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
