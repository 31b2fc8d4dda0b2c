/** `fairlead lab demo`: on this machine's kernel where it can, else inside user-mode-linux. */
import { tmpdir } from 'node:os'
import type { ClusterLab } from '../../lab/cluster-lab.ts'
import { runDemo } from '../../lab/demo/demo.ts'
import { runInUml, umlProblem } from '../../lab/uml/uml-machine.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createLogger } from '../../runtime/create-logger.ts'
import { obstacleOnHost } from './host-kernel.ts'
import { LAB_FLAGS_HELP, type LabFlags, readLabFlags } from './lab-flags.ts'

export const DEMO_HELP = `Shows a Kubernetes node network and a Service doing its work, on a real kernel, without a cluster.

Usage: npm run demo -- [flags]

${LAB_FLAGS_HELP}  --seconds N        how long clients connect while pods come and go, about (default 16)
  --keep             leave the lab running at the end, until Ctrl-C
  --json FILE        write the result there as well
`

/** Set inside user-mode-linux, where asking again would have no end. */
const INSIDE = 'FAIRLEAD_DEMO_INSIDE_UML'
/** What the guest cannot know by itself: the folder for the page, and whether a person looks on. */
const PAGES = 'FAIRLEAD_DEMO_PAGES'
const TERMINAL = 'FAIRLEAD_DEMO_TERMINAL'
const UML_MEMORY_MB = 3072
const KEEP_MS = 24 * 3600 * 1000

/** Ended by Ctrl-C, as a shell tells it. */
const INTERRUPTED = 130

/** Resolves to the exit code: 1 when a connection failed in the rolling restart. Throws ConfigError for wrong usage. */
export async function demoCommand(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const startedMs = performance.now()
  const flags = readLabFlags(argv)
  if (flags.help) {
    process.stdout.write(DEMO_HELP)
    return 0
  }
  try {
    return await showDemo(argv, flags, { signal, startedMs })
  } catch (error) {
    if (signal.aborted) return INTERRUPTED
    throw error
  }
}

async function showDemo(
  argv: readonly string[],
  flags: LabFlags,
  { signal, startedMs }: Omit<Place, 'kernel'>,
): Promise<number> {
  if (process.env[INSIDE] !== undefined)
    return runHere(flags, { signal, startedMs, kernel: 'user-mode-linux' })
  const obstacle = await obstacleOnHost(flags)
  if (obstacle === undefined) return runHere(flags, { signal, startedMs, kernel: 'host' })
  process.stdout.write(`${obstacle}: the demo runs inside user-mode-linux instead.\n`)
  const problem = flags.mode === 'nftables' ? NO_NFTABLES : umlProblem()
  if (problem === undefined) return runInside(argv, flags, signal)
  process.stderr.write(`${problem}\n`)
  return 1
}

const NO_NFTABLES =
  'Cannot show nftables mode: the kernel of user-mode-linux has no nftables NAT; run the demo as root'

interface Place {
  readonly signal: AbortSignal
  readonly startedMs: number
  readonly kernel: 'host' | 'user-mode-linux'
}

async function runHere(flags: LabFlags, { signal, startedMs, kernel }: Place): Promise<number> {
  const inside = kernel === 'user-mode-linux'
  const log = createLogger({ format: 'text', verbosity: 0, write: (line) => process.stderr.write(line) })
  const result = await runDemo(
    {
      ...flags,
      kernel,
      program: [process.execPath, '--disable-warning=ExperimentalWarning', process.argv[1] ?? ''],
      flags: inside ? ['--iptables-variant=legacy'] : [],
      iptables: inside ? 'iptables-legacy' : 'iptables',
      commandStartedMs: startedMs,
      write: (text) => process.stdout.write(text),
      isTerminal: process.stdout.isTTY && process.env[TERMINAL] !== 'no',
      pageDirectory: process.env[PAGES] ?? tmpdir(),
      clock: systemClock,
      log,
    },
    { signal, keep: async (lab) => (flags.keep ? keepRunning(lab, signal) : Promise.resolve()) },
  )
  const failed = result.failedByPhase['rolling-restart'] ?? 0
  if (failed === 0) return 0
  process.stderr.write(
    `The rolling restart failed ${failed} connections; with a quiet machine it fails none. See "failedByReason" in --json.\n`,
  )
  return 1
}

async function keepRunning(lab: ClusterLab, signal: AbortSignal): Promise<void> {
  process.stdout.write(
    `\nThe lab stays. Try: kubectl --kubeconfig ${lab.kubeconfigPath} get pods -o wide\nCtrl-C ends it.\n`,
  )
  await new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

async function runInside(argv: readonly string[], flags: LabFlags, signal: AbortSignal): Promise<number> {
  const program = process.argv[1] ?? ''
  const { exitCode } = await runInUml({
    command: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', program, 'lab', 'demo', ...argv],
    env: { [INSIDE]: '1', [PAGES]: tmpdir(), [TERMINAL]: process.stdout.isTTY ? 'yes' : 'no' },
    memoryMb: UML_MEMORY_MB,
    timeoutMs: flags.keep ? KEEP_MS : (flags.seconds + 600) * 1000,
    onOutput: (text) => process.stdout.write(text),
    signal,
  })
  return exitCode
}
