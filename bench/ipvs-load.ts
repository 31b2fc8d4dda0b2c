/**
 * What IPVS mode takes to load many Services into a kernel that has it, and to change one endpoint at two sizes, beside
 * the plain tools with the same objects; all in one run, inside user-mode-linux.
 *
 *     npx node bench/ipvs-load.ts [services…]        default 100 10000
 *
 * Planning and comparing are part of our times, reading the API is not.
 */
import { createIpvsBackend } from '../src/backends/ipvs/ipvs-backend.ts'
import { DEVICE } from '../src/backends/ipvs/names.ts'
import type { IpvsObject } from '../src/backends/ipvs/plan-port.ts'
import type { Forwarding } from '../src/forwarding/forwarding.ts'
import { openIpvsSenses } from '../src/kernel/ipvs-senses.ts'
import { openIpvsControl } from '../src/kernel/open-ipvs-control.ts'
import { ProgramRunner } from '../src/kernel/program-runner.ts'
import { runInUml } from '../src/lab/uml/uml-machine.ts'
import type { KernelState } from '../src/netfilter/kernel-state.ts'
import type { Cidr } from '../src/net/cidr.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { silentLogger } from '../src/runtime/logger.ts'
import { Reconciler } from '../src/sync/reconciler.ts'
import { aForwarding, anIp, aPort, withPorts } from '../test/support/forwarding-builder.ts'

const ENDPOINTS = 5
const CHANGES = 40
const INSIDE = 'FAIRLEAD_BENCH_INSIDE'
const NODE_IP = '192.168.0.2'
const NODE = { localIps: [anIp('127.0.0.1'), anIp(NODE_IP)], primaryIp: anIp(NODE_IP) }
const exec = new ProgramRunner()
const signal = new AbortController().signal

const sizes = process.argv.slice(2).map(Number)
if (sizes.length === 0) sizes.push(100, 10_000)
const isInside = process.env[INSIDE] !== undefined
await (isInside ? measureHere() : measureInUml()).catch((error: unknown) => {
  print(error instanceof Error ? (error.stack ?? error.message) : String(error))
  process.exitCode = 1
})
// Not within a callback of the netlink sockets, which would take the end of the process for a fault.
setImmediate(() => process.exit())

async function measureInUml(): Promise<void> {
  const { exitCode } = await runInUml({
    command: process.execPath,
    args: ['--disable-warning=ExperimentalWarning', import.meta.filename, ...sizes.map(String)],
    env: { [INSIDE]: '1' },
    memoryMb: 3072,
    timeoutMs: 1_200_000,
    onOutput: (text) => process.stdout.write(text),
  })
  process.exitCode = exitCode
}

async function measureHere(): Promise<void> {
  await run(
    'ip',
    ['-batch', '-'],
    `link add eth9 type dummy\naddr add ${NODE_IP}/24 dev eth9\nlink set eth9 up\n`,
  )
  for (const services of sizes) await measureSize(services)
}

async function measureSize(services: number): Promise<void> {
  const proxy = await startProxy()
  let forwarding = clusterOf(services)
  const syncMs = await timed(async () => proxy.sync(forwarding))
  const lines = linesOf(proxy.believed())
  const changes: number[] = []
  for (let n = 0; n < CHANGES; n++) {
    forwarding = withPorts(forwarding, [servicePort((n * 7919) % services, n + 1)])
    changes.push(await timed(async () => proxy.sync(forwarding)))
  }
  const restMs = await restOf(async () => proxy.probe())
  await proxy.cleanup()
  await run('ip', ['-batch', '-'], `link add ${DEVICE} type dummy\nlink set ${DEVICE} up\n`)
  const plainMs = await timed(async () => {
    await run('ipvsadm', ['-R'], lines.servers)
    await run('ip', ['-4', '-batch', '-'], lines.routes)
  })
  await run('ipvsadm', ['-C'])
  await run('ip', ['link', 'del', DEVICE])
  const [least = 0, median = 0] = [0, changes.length >> 1].map((at) => changes.toSorted((a, b) => a - b)[at])
  print(
    `${services} x ${ENDPOINTS}: first sync ${ms(syncMs)}, plain tools ${ms(plainMs)}, ratio ${(syncMs / plainMs).toFixed(2)}`,
  )
  print(
    `  one endpoint replaced: median ${ms(median)}, least ${ms(least)}; a question about drift: ${ms(restMs)}`,
  )
}

async function startProxy() {
  const backend = await createIpvsBackend({
    options: {
      family: 'IPv4',
      detector: { by: 'source', cidr: '10.0.0.0/8' as Cidr },
      masqueradeMark: 0x4000,
      dropInvalid: true,
    },
    exec,
    log: silentLogger,
    nodeName: 'node',
    variant: 'legacy',
    control: await openIpvsControl(exec, silentLogger),
    senses: async () => openIpvsSenses('IPv4', undefined),
  })
  const reconciler = new Reconciler<IpvsObject>({
    backend,
    clock: systemClock,
    onRefusal: (port) => print(`refused ${port.key}`),
  })
  return {
    sync: async (forwarding: Forwarding) => {
      await reconciler.sync(forwarding, signal)
    },
    probe: async () => backend.probe(signal),
    cleanup: async () => backend.cleanup(signal),
    believed: () => reconciler.believed!,
  }
}

/** Milliseconds of one question, after the first few have settled what there is to settle. */
async function restOf(probe: () => Promise<unknown>): Promise<number> {
  for (let i = 0; i < 3; i++) await probe()
  return (
    (await timed(async () => {
      for (let i = 0; i < 20; i++) await probe()
    })) / 20
  )
}

function clusterOf(services: number): Forwarding {
  return withPorts(
    aForwarding([], NODE),
    Array.from({ length: services }, (_, i) => servicePort(i, 0)),
  )
}

/** Its first endpoint is another one for every `turn`. */
function servicePort(i: number, turn: number) {
  const at = `${i >> 8}.${i & 255}`
  const endpoints = Array.from(
    { length: ENDPOINTS },
    (_, n) => `10.${n}.${at}:${n === 0 ? 8080 + turn : 8080}`,
  )
  const port = aPort(`ns/s${i}`)
    .clusterIp(`172.30.${at}`)
    .endpoints(...endpoints)
    .build()
  return [port.key, port] as const
}

function linesOf(state: KernelState<IpvsObject>) {
  const objects = [...state.values()].flatMap((fragment) => [...fragment.values()])
  const virtual = objects.flatMap((o) =>
    o.kind === 'virtual-server' ? [`-A ${o.selector} ${o.text}\n`] : [],
  )
  const real = objects.flatMap((o) =>
    o.kind === 'real-server' ? [`-a ${o.selector} -r ${o.server} ${o.text}\n`] : [],
  )
  const routes = objects.flatMap((o) =>
    o.kind === 'local-route'
      ? [`route replace local ${o.ip}/32 dev ${DEVICE} table local src ${NODE_IP}\n`]
      : [],
  )
  return { servers: [...virtual, ...real].join(''), routes: routes.join('') }
}

async function run(file: string, args: readonly string[], stdin = ''): Promise<void> {
  const { exitCode, stderr } = await exec.run({ file, args, stdin, timeoutMs: 900_000 })
  if (exitCode !== 0) throw new Error(`Cannot run ${file} ${args.join(' ')}: ${stderr.slice(0, 300)}`)
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now()
  await work()
  return performance.now() - startedMs
}

function ms(value: number): string {
  return value < 1000 ? `${value.toFixed(1)} ms` : `${(value / 1000).toFixed(1)} s`
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
