/**
 * `node bench/long-run.ts`: the real program and a real API server, random changes of everything for minutes, and two
 * questions at the end. Is the kernel what a fresh start makes of the same cluster, byte for byte? Has the process
 * stopped growing? See README.md.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Exec } from '../src/kernel/exec.ts'
import { runInUml } from '../src/lab/uml/uml-machine.ts'
import { Bed } from './bed.ts'
import { toolsIn } from './floor.ts'
import { emptyKernel, kernelDump } from './kernel-dump.ts'
import { liveHeaps, type MemoryVerdict, memoryVerdict } from './memory-growth.ts'
import { cpuOf, memoryOf } from './process-cost.ts'
import { RunningProxy } from './proxy.ts'
import { RandomCluster } from './random-cluster.ts'
import { fairlead, type Mode, MODES, type Subject } from './subjects.ts'
import { kernelHasIpvs } from './uml.ts'

const ROOT = join(import.meta.dirname, '..')
const USAGE = `Usage: node bench/long-run.ts [--mode MODE] [--minutes N] [--services N] [--seed N]     (as root)

  --mode MODE       one of ${MODES.join(', ')} (default nftables); ipvs runs in user-mode-linux where it must
  --minutes N       how long everything changes (default 10)
  --services N      how many Services there are (default 1000)
  --seed N          repeats the changes of another run (default: the time)
`
/** In user-mode-linux three equal answers of the proxy at this size took more than two minutes. */
const FOLLOW_TIMEOUT_MS = 600_000
/** Comes and goes on the node. */
const ADDRESS = '192.168.77.1/32'

interface LongRun {
  readonly mode: Mode
  readonly minutes: number
  readonly services: number
  readonly seed: number
}

async function main(argv: readonly string[]): Promise<number> {
  const run = parseOptions(argv)
  if (run === undefined) {
    process.stdout.write(USAGE)
    return 0
  }
  if (run.mode === 'ipvs' && !kernelHasIpvs()) return inUml(argv, run)
  const bed = await Bed.create({ services: 4, endpoints: 1 })
  const proxies: RunningProxy[] = []
  const start = (subject: Subject): RunningProxy => {
    const proxy = RunningProxy.start(bed, subject)
    proxies.push(proxy)
    return proxy
  }
  try {
    return await changeAndCompare(bed, run, start)
  } finally {
    await Promise.all(proxies.map((proxy) => proxy.kill('SIGKILL')))
    await bed.close()
  }
}

async function changeAndCompare(
  bed: Bed,
  run: LongRun,
  start: (subject: Subject) => RunningProxy,
): Promise<number> {
  const node = toolsIn(bed.node, bed.nodeEnv)
  const cluster = new RandomCluster(run.services, run.seed)
  await bed.api('store', { put: cluster.objects(), remove: [] })
  say(`${run.mode}: ${run.services} Services, seed ${run.seed}, ${run.minutes} minutes of changes`)
  const subject = tracing(fairlead(run.mode))
  const proxy = start(subject)
  await untilFollowed(bed, node, proxy)
  const { changes, residentMb } = await changeFor(bed, { cluster, proxy, node, minutes: run.minutes })
  await untilFollowed(bed, node, proxy)
  const before = await kernelDump(node, run.mode)
  const cpu = cpuOf(proxy.pid)
  const heaps = liveHeaps(readFileSync(logOf(bed, subject), 'utf8'))
  await proxy.kill('SIGTERM')
  await emptyKernel(node, run.mode)
  const second = start(fresh(run.mode))
  await untilFollowed(bed, node, second)
  const after = await kernelDump(node, run.mode)
  const lines = before.split('\n').length
  say(
    `changes: ${changes}; processor: ${Math.round(cpu.own / 1000)} s own, ${Math.round(cpu.tools / 1000)} s tools`,
  )
  const isSame = compare(before, after, lines)
  return isSame && judgeMemory(memoryVerdict(heaps), memoryVerdict(residentMb)) ? 0 : 1
}

async function changeFor(
  bed: Bed,
  run: {
    readonly cluster: RandomCluster
    readonly proxy: RunningProxy
    readonly node: Exec
    readonly minutes: number
  },
): Promise<{ changes: number; residentMb: number[] }> {
  const { cluster, proxy, node, minutes } = run
  const residentMb: number[] = []
  const endMs = performance.now() + minutes * 60_000
  let changes = 0
  for (let round = 1; performance.now() < endMs; round++) {
    // Bursts of up to sixteen changes, as rollouts make them, and pauses in which single ones are followed.
    for (let burst = round % 17; burst > 0; burst--, changes++) {
      const { put, remove } = cluster.change()
      await bed.api('store', { put, remove })
    }
    if (round % 40 === 0) await bed.api('pause', { ms: 1500 })
    if (round % 25 === 0) await changeAddresses(node)
    await sleep(100 + ((round * 37) % 600))
    proxy.assertAlive()
    residentMb.push(memoryOf(proxy.pid).resident)
  }
  return { changes, residentMb }
}

async function changeAddresses(node: Exec): Promise<void> {
  const has = (await node.run({ file: 'ip', args: ['-o', 'address', 'show', 'dev', 'eth0'] })).stdout
  const action = has.includes(ADDRESS) ? 'delete' : 'add'
  await node.run({ file: 'ip', args: ['address', action, ADDRESS, 'dev', 'eth0'] })
}

/** Until the proxy itself finds no difference between the cluster and the kernel, three times in a row. */
async function untilFollowed(bed: Bed, node: Exec, proxy: RunningProxy): Promise<void> {
  const deadlineMs = performance.now() + FOLLOW_TIMEOUT_MS
  for (let agreed = 0; agreed < 3;) {
    proxy.assertAlive()
    const args = ['diff', `--explain-socket=${socketOf(bed)}`, '--output=json']
    const { exitCode, stdout, stderr } = await node.run({ file: `${ROOT}/bin/fairlead`, args })
    agreed = exitCode === 0 ? agreed + 1 : 0
    if (performance.now() > deadlineMs)
      throw new Error(`The kernel does not become what is wanted: ${(stdout + stderr).slice(0, 2000)}`)
    await sleep(1000)
  }
}

function compare(before: string, after: string, lines: number): boolean {
  if (before === after) {
    say(`kernel: the same as after a fresh start, ${lines} lines`)
    return true
  }
  const [was, is] = [new Set(before.split('\n')), new Set(after.split('\n'))]
  say('kernel: NOT the same as after a fresh start')
  for (const line of [...was].filter((one) => !is.has(one)).slice(0, 10)) say(`  only before: ${line}`)
  for (const line of [...is].filter((one) => !was.has(one)).slice(0, 10)) say(`  only afresh: ${line}`)
  return false
}

function judgeMemory(heap: MemoryVerdict, resident: MemoryVerdict): boolean {
  const text = ({ first, second, samples }: MemoryVerdict): string =>
    `${first.toFixed(1)} MB in the first half, ${second.toFixed(1)} MB in the second (${samples} samples)`
  say(`live heap after collections, median: ${text(heap)}`)
  say(`resident, median: ${text(resident)}`)
  if (heap.grows) say('memory: GROWS')
  return !heap.grows
}

/** The program with its collections of garbage in the log, and a socket to be asked on. */
function tracing(subject: Subject): Subject {
  const command: Subject['command'] = (bed) => {
    const { command: words, env } = subject.command(bed)
    const [, ...flags] = asked(bed, words)
    const program = [`${ROOT}/dist/main.js`, ...flags]
    return { command: [process.execPath, '--max-semi-space-size=4', '--trace-gc', ...program], env }
  }
  return { ...subject, command }
}

function fresh(mode: Mode): Subject {
  const subject = fairlead(mode)
  return {
    ...subject,
    name: `${subject.name} fresh`,
    command: (bed) => {
      const { command, env } = subject.command(bed)
      return { command: asked(bed, command), env }
    },
  }
}

function asked(bed: Bed, command: readonly string[]): readonly string[] {
  return command.map((word) => (word === '--explain-socket=' ? `--explain-socket=${socketOf(bed)}` : word))
}

function socketOf(bed: Bed): string {
  return join(bed.directory, 'explain.sock')
}

function logOf(bed: Bed, subject: Subject): string {
  return join(bed.directory, `${subject.name.replaceAll(' ', '-')}.log`)
}

async function inUml(argv: readonly string[], { minutes }: LongRun): Promise<number> {
  const { output, exitCode } = await runInUml({
    command: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', import.meta.filename, ...argv],
    cwd: ROOT,
    memoryMb: 3072,
    timeoutMs: (minutes + 40) * 60_000,
  })
  process.stdout.write(output)
  return exitCode
}

function parseOptions(argv: readonly string[]): LongRun | undefined {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      mode: { type: 'string', default: 'nftables' },
      minutes: { type: 'string', default: '10' },
      services: { type: 'string', default: '1000' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  const mode = MODES.find((one) => one === values.mode)
  if (mode === undefined)
    throw new Error(`Cannot run the mode "${values.mode}"; choose from ${MODES.join(', ')}`)
  const [minutes = 0, services = 0, seed = 0] = [values.minutes, values.services, values.seed].map(Number)
  if (!(minutes > 0 && services > 0 && services <= 5000 && Number.isSafeInteger(seed)))
    throw new Error(
      'Cannot run: --minutes and --services (up to 5000) must be above 0, --seed a whole number',
    )
  return { mode, minutes, services, seed }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`long run: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
