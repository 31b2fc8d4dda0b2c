/** `fairlead lab up|down|status`: a lab that keeps running, for `kubectl` and for one's own experiments. */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { ClusterLab } from '../../lab/cluster-lab.ts'
import { webDeployment, webService } from '../../lab/demo/manifests.ts'
import { POD_NETWORKS } from '../../lab/networks/pod-networks.ts'
import { removeOrphanedDirectories } from '../../lab/own-directory.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createLogger } from '../../runtime/create-logger.ts'
import { obstacleOnHost } from './host-kernel.ts'
import { LAB_FLAGS_HELP, type LabFlags, readLabFlags } from './lab-flags.ts'
import { announceLab, claimLab, forgetLab, type LabState, LOG_FILE, runningLab } from './lab-state.ts'

export const LAB_HELP = `A Kubernetes node network on this machine, in network namespaces; as root.

Usage: fairlead lab up [flags]     start it; ends with Ctrl-C or "lab down"
       fairlead lab status         is one running, and how to reach it
       fairlead lab down           end it, and whatever a crash left
       fairlead lab demo [flags]   the demo (npm run demo)

${LAB_FLAGS_HELP}  --keep             (up) go to the background once the lab is up
`

/** How long a lab may take to go before it is killed. */
const DOWN_MS = 20_000
const STEP_MS = 50

/** Resolves to the exit code. Throws ConfigError for wrong usage. */
export async function labUp(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const flags = readLabFlags(argv)
  const obstacle = await obstacleOnHost(flags)
  if (obstacle !== undefined)
    return refuse(`${obstacle}; run it as root, or see it inside user-mode-linux with "fairlead lab demo"`)
  const running = runningLab()
  if (running !== undefined) return refuse(runsAlready(running))
  if (flags.keep)
    return inBackground(
      argv.filter((word) => word !== '--keep'),
      signal,
    )
  const other = claimLab(about(flags))
  if (other !== undefined) return refuse(runsAlready(other))
  try {
    await hold(flags, signal)
  } finally {
    forgetLab()
  }
  return 0
}

function refuse(reason: string): number {
  process.stderr.write(`Cannot start a lab: ${reason}\n`)
  return 1
}

function runsAlready({ about: what, pid }: LabState): string {
  return `one runs already (${what}, process ${pid}); end it with "fairlead lab down"`
}

/** The lab from its start until `signal`. */
async function hold(flags: LabFlags, signal: AbortSignal): Promise<void> {
  const log = createLogger({ format: 'text', verbosity: 0, write: (line) => process.stderr.write(line) })
  const program = [process.execPath, '--disable-warning=ExperimentalWarning', process.argv[1] ?? '']
  const network = POD_NETWORKS[flags.network]
  const lab = await ClusterLab.up({
    ...flags,
    network,
    program,
    flags: [],
    iptables: 'iptables',
    log,
    signal,
  })
  try {
    lab.startProxies()
    lab.api.create(webDeployment(flags.pods))
    lab.api.create(webService())
    announceLab(about(flags), lab.kubeconfigPath)
    process.stdout.write(
      `The lab is up: ${about(flags)}; the pods start.\nTry: kubectl --kubeconfig ${lab.kubeconfigPath} get pods,services -o wide\n`,
    )
    await aborted(signal)
  } finally {
    await lab.down()
  }
}

export function labStatus(): number {
  const running = runningLab()
  const text =
    running === undefined
      ? 'No lab is running.'
      : `${running.about}, process ${running.pid}\nkubeconfig: ${running.kubeconfig ?? 'not yet, the lab is starting'}`
  process.stdout.write(`${text}\n`)
  return running === undefined ? 1 : 0
}

/** Namespaces, devices, rules and processes of a lab end with its process; only files can be left of a killed one. */
export async function labDown(): Promise<number> {
  const running = runningLab()
  if (running !== undefined) await end(running)
  forgetLab()
  rmSync(LOG_FILE, { force: true })
  removeOrphanedDirectories()
  process.stdout.write(running === undefined ? 'No lab was running.\n' : 'The lab is gone.\n')
  return 0
}

async function end(running: LabState): Promise<void> {
  process.kill(running.pid, 'SIGTERM')
  if (await isGoneWithin(DOWN_MS)) return
  process.kill(running.pid, 'SIGKILL')
  await isGoneWithin(DOWN_MS)
}

async function isGoneWithin(ms: number): Promise<boolean> {
  const deadlineMs = systemClock.monotonic() + ms
  while (runningLab() !== undefined && systemClock.monotonic() < deadlineMs) await systemClock.sleep(STEP_MS)
  return runningLab() === undefined
}

function about({ nodes, pods, mode, network }: LabFlags): string {
  return `${nodes} nodes, ${pods} pods, ${mode} mode, ${network} network`
}

/** Starts the lab as a process of its own and passes on what it says until it is up, or ends. */
async function inBackground(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const args = ['--disable-warning=ExperimentalWarning', process.argv[1] ?? '', 'lab', 'up', ...argv]
  mkdirSync(dirname(LOG_FILE), { recursive: true })
  const log = openSync(LOG_FILE, 'w', 0o600)
  const child = spawn(process.execPath, args, { detached: true, stdio: ['ignore', 'pipe', log] })
  closeSync(log)
  const { stdout } = child
  if (stdout === null) throw new Error('Cannot follow the start of the lab: it has no standard output')
  signal.addEventListener('abort', () => child.kill('SIGTERM'), { once: true })
  const exitCode = await new Promise<number>((resolve) => {
    stdout.on('data', (text: Buffer) => {
      process.stdout.write(text)
      if (text.includes('Try:')) resolve(0)
    })
    child.on('exit', (code) => resolve(code ?? 1))
  })
  if (exitCode !== 0) process.stderr.write(readFileSync(LOG_FILE))
  stdout.destroy()
  child.unref()
  return exitCode
}

async function aborted(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
