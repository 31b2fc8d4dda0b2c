/** `fairlead lab demo`: on this machine's kernel where it can, else inside user-mode-linux. */
import type { BackendName } from '../../backends/backend.ts'
import { ProgramRunner } from '../../kernel/program-runner.ts'
import type { ClusterLab } from '../../lab/cluster-lab.ts'
import { runDemo } from '../../lab/demo/demo.ts'
import { runInUml, umlProblem } from '../../lab/uml/uml-machine.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createLogger } from '../../runtime/create-logger.ts'
import { LAB_FLAGS_HELP, type LabFlags, readLabFlags } from './lab-flags.ts'

export const DEMO_HELP = `Shows a Kubernetes node network and a Service doing its work, on a real kernel, without a cluster.

Usage: npm run demo -- [flags]

${LAB_FLAGS_HELP}  --seconds N        how long clients connect while pods come and go, about (default 16)
  --keep             leave the lab running at the end, until Ctrl-C
  --json FILE        write the result there as well
`

/** Set inside user-mode-linux, where asking again would have no end. */
const INSIDE = 'FAIRLEAD_DEMO_INSIDE_UML'
const UML_MEMORY_MB = 3072

/** Resolves to the exit code. Throws ConfigError for wrong usage. */
export async function demoCommand(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const startedMs = performance.now()
  const flags = readLabFlags(argv)
  if (flags.help) {
    process.stdout.write(DEMO_HELP)
    return 0
  }
  if (process.env[INSIDE] !== undefined)
    return runHere(flags, { signal, startedMs, kernel: 'user-mode-linux' })
  const obstacle = await obstacleOnHost(flags.mode)
  if (obstacle === undefined) return runHere(flags, { signal, startedMs, kernel: 'host' })
  process.stdout.write(`${obstacle}: the demo runs inside user-mode-linux instead.\n`)
  const problem = flags.mode === 'nftables' ? NO_NFTABLES : umlProblem()
  if (problem === undefined) return runInside(argv, flags, signal)
  process.stderr.write(`${problem}\n`)
  return 1
}

const NO_NFTABLES =
  'Cannot show nftables mode: the kernel of user-mode-linux has no nftables NAT; run the demo as root'

/** Why this machine's own kernel cannot carry the demo; `undefined`: it can. */
async function obstacleOnHost(mode: BackendName): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'Not root'
  const exec = new ProgramRunner()
  const probe: Readonly<Record<BackendName, string>> = {
    iptables: 'iptables -w -t nat -S',
    nftables: 'nft add table ip probe && nft "add chain ip probe c { type nat hook output priority -100; }"',
    ipvs: 'ipvsadm -Ln || { modprobe ip_vs && ipvsadm -Ln; }',
  }
  const command = ['--net', 'sh', '-c', probe[mode]]
  const result = await exec.run({ file: 'unshare', args: command })
  if (result.exitCode === 0) return undefined
  const [reason = ''] = result.stderr.trim().split('\n')
  return `This kernel cannot carry ${mode} mode (${reason})`
}

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
      isTerminal: process.stdout.isTTY,
      clock: systemClock,
      log,
    },
    { signal, keep: async (lab) => (flags.keep ? keepRunning(lab, signal) : Promise.resolve()) },
  )
  const failed = result.failedByPhase
  return (failed['rolling-restart'] ?? 0) + (failed.calm ?? 0) === 0 ? 0 : 1
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
    env: { [INSIDE]: '1' },
    memoryMb: UML_MEMORY_MB,
    timeoutMs: (flags.seconds + 240) * 1000,
    onOutput: (text) => process.stdout.write(text),
    signal,
  })
  return exitCode
}
