/**
 * Listens to the kernel inside a network namespace, where a test process cannot be: started by `nsenter`, it brings a
 * table to life with the program's own backend, and answers every line on standard input with what the probe says.
 */
import { atOnce } from '../../src/collections/sliced.ts'
import { createInterface } from 'node:readline'
import type { BackendObject } from '../../src/backends/nftables/plan-node.ts'
import { createNftablesBackend } from '../../src/backends/nftables/nftables-backend.ts'
import { openNftablesView } from '../../src/daemon/create-backend.ts'
import { type KernelState, diffState, emptyState } from '../../src/netfilter/kernel-state.ts'
import type { Exec } from '../../src/kernel/exec.ts'
import type { KernelError } from '../../src/kernel/kernel-error.ts'
import { ProgramRunner } from '../../src/kernel/program-runner.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import { aForwarding, aPort } from './forwarding-builder.ts'

const ports = Number(process.argv[2])
const signal = new AbortController().signal
/** How often nft was given something to write. */
let scripts = 0
const programs = new ProgramRunner()
const exec: Exec = {
  run: async (request) => {
    if (request.file === 'nft' && request.stdin !== undefined) scripts++
    return programs.run(request)
  },
}
const view = await openNftablesView()
let believed: KernelState<BackendObject> | undefined
const backend = await createNftablesBackend({
  options: { family: 'IPv4', detector: undefined, masqueradeMark: 0x4000, dropInvalid: true },
  exec,
  log: silentLogger,
  watch: view && { foreign: await view.ledger.view(), tables: view.tables },
  elements: view?.elements,
})

/** The set of these holds intervals, whose elements every kernel has to list. */
const RANGES = ['10.0.0.0/8', '192.0.2.0/25']

function forwardingOf(count: number) {
  const numbers = Array.from({ length: count }, (_, i) => i + 1)
  return aForwarding(
    numbers.map((n) =>
      aPort(`ns/s${n}`)
        .clusterIp(`172.30.${n >> 8}.${n & 255}`, 80, n < 3 ? { sourceRanges: RANGES } : {})
        .endpoints('10.1.0.1:80', '10.1.0.2:80'),
    ),
  )
}

async function repair(count: number): Promise<number> {
  return bring(await backend.observe(signal), count)
}

/** Without reading; answers with the kind of failure where it is one. */
async function follow(count: number): Promise<unknown> {
  const before = scripts
  try {
    await bring(believed ?? emptyState(), count)
    return { scripts: scripts - before }
  } catch (error) {
    return { scripts: scripts - before, code: (error as KernelError).code }
  }
}

async function bring(have: KernelState<BackendObject>, count: number): Promise<number> {
  const want = backend.plan(forwardingOf(count))
  const changes = diffState(want, have)
  await backend.apply(atOnce(backend.script(changes)), signal)
  believed = want
  return changes.created.length + changes.updated.length + changes.removed.length
}

async function answer(line: string): Promise<unknown> {
  if (line === 'open') return view !== undefined
  if (line.startsWith('repair ')) return repair(Number(line.slice('repair '.length)))
  if (line.startsWith('follow ')) return follow(Number(line.slice('follow '.length)))
  return (await backend.probe(signal, believed))?.what ?? null
}

await repair(ports)
process.stdout.write('ready\n')
for await (const line of createInterface({ input: process.stdin }))
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`)
