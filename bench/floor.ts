/**
 * What the plain tools need, in a namespace of their own: for the very objects that Fairlead has put into the kernel
 * (the floor of the tools), and for kube-proxy's layouts (what its users have, without the program).
 */
import type { Exec, ExecRequest } from '../src/kernel/exec.ts'
import { ProgramRunner } from '../src/kernel/program-runner.ts'
import { NetHost } from '../src/lab/net-host.ts'
import type { Bed } from './bed.ts'
import type { Layout } from './layouts.ts'
import { cpuOf, cpuSince } from './process-cost.ts'
import { summarize } from './statistics.ts'
import { type Mode, variantOf } from './subjects.ts'

const TOOL_TIMEOUT_MS = 900_000
const REPETITIONS = 5

export interface PlainFigures {
  readonly loadMs: number
  readonly loadCpuMs: number
  /** Medians; `undefined` where one change could not be taken out of the whole. */
  readonly changeMs: number | undefined
  readonly changeCpuMs: number | undefined
  readonly bytes: number
}

/** Runs tools in a namespace with the bed's own iptables lock. */
export function toolsIn(host: NetHost, env: NodeJS.ProcessEnv): Exec {
  return new ProgramRunner({
    prefix: ['nsenter', `--net=/proc/${host.pid}/ns/net`, '--'],
    env: { ...process.env, ...env },
  })
}

/** Loads what a bed's node holds into a fresh namespace by the plain tool, and changes one object of it. */
export async function measurePlain(bed: Bed, mode: Mode): Promise<PlainFigures> {
  const node = toolsIn(bed.node, bed.nodeEnv)
  const text = await savedObjects(node, mode)
  const sets = mode.startsWith('iptables') ? await output(node, { file: 'ipset', args: ['save'] }) : ''
  return inFreshNamespace(bed.nodeEnv, async (exec) => {
    // Rules look into sets; those are few, and not what is measured.
    if (sets !== '') await output(exec, { file: 'ipset', args: ['restore'], stdin: sets })
    return loadAndChange(exec, mode, { all: text, change: oneChange(text, mode) })
  })
}

/** Loads kube-proxy's layout on the node of a bed, so that its data plane can be measured there afterwards. */
export async function loadLayout(bed: Bed, mode: Mode, layout: Layout): Promise<PlainFigures> {
  return loadAndChange(toolsIn(bed.node, bed.nodeEnv), mode, layout)
}

async function inFreshNamespace<T>(env: NodeJS.ProcessEnv, work: (exec: Exec) => Promise<T>): Promise<T> {
  const host = await NetHost.create('floor')
  try {
    return await work(toolsIn(host, env))
  } finally {
    await host.close()
  }
}

async function loadAndChange(exec: Exec, mode: Mode, layout: Layout): Promise<PlainFigures> {
  const load = await timed(exec, loadCommand(mode, layout.all))
  const changes: Cost[] = []
  for (let n = 0; n < REPETITIONS && layout.change.trim() !== ''; n++)
    changes.push(await timed(exec, loadCommand(mode, layout.change)))
  const changeMs = summarize(changes.map(({ ms }) => ms))?.p50
  const changeCpuMs = summarize(changes.map(({ cpuMs }) => cpuMs))?.p50
  return { loadMs: load.ms, loadCpuMs: load.cpuMs, changeMs, changeCpuMs, bytes: layout.all.length }
}

function loadCommand(mode: Mode, stdin: string): ExecRequest {
  const timeoutMs = TOOL_TIMEOUT_MS
  if (mode === 'nftables') return { file: 'nft', args: ['-f', '-'], stdin, timeoutMs }
  if (mode === 'ipvs') return { file: 'ipvsadm', args: ['-R'], stdin, timeoutMs }
  return { file: `iptables-${variantOf(mode)}-restore`, args: ['-w', '5', '--noflush'], stdin, timeoutMs }
}

async function savedObjects(exec: Exec, mode: Mode): Promise<string> {
  const timeoutMs = TOOL_TIMEOUT_MS
  if (mode === 'ipvs') return output(exec, { file: 'ipvsadm', args: ['-S', '-n'], timeoutMs })
  if (mode === 'nftables')
    return withoutRules(
      await output(exec, { file: 'nft', args: ['-n', 'list', 'table', 'ip', 'kube-proxy'], timeoutMs }),
    )
  return output(exec, { file: `iptables-${variantOf(mode)}-save`, args: ['-t', 'nat'], timeoutMs })
}

/**
 * A table as nft lists it, without the rules in its chains: nft 1.0 cannot read all rules that it lists, and they are a
 * few dozen beside all the elements.
 */
export function withoutRules(text: string): string {
  let inChain = false
  const kept = text.split('\n').filter((line) => {
    if (line.startsWith('\tchain ')) inChain = true
    else if (line === '\t}') inChain = false
    return !inChain || line.startsWith('\tchain ') || line.startsWith('\t\ttype ')
  })
  return kept.join('\n')
}

/** The text that puts one object anew. Empty where the saved text shows none. */
export function oneChange(text: string, mode: Mode): string {
  switch (mode) {
    case 'nftables':
      return oneElement(text)
    case 'ipvs':
      return oneServer(text)
    case 'iptables-legacy':
    case 'iptables-nft':
      return oneChain(text)
  }
}

/** Flushes and refills the last chain that sends to an endpoint. */
function oneChain(text: string): string {
  const rules = text.split('\n').filter((line) => line.startsWith('-A '))
  const chain = /^-A (\S+) /.exec(rules.findLast((line) => line.includes('--to-destination')) ?? '')?.[1]
  if (chain === undefined) return ''
  const own = rules.filter((line) => line.startsWith(`-A ${chain} `))
  return `*nat\n:${chain} - [0:0]\n${own.join('\n')}\nCOMMIT\n`
}

/** Deletes and adds the last element of the largest map whose values are endpoints. */
function oneElement(text: string): string {
  const maps = [...text.matchAll(/\tmap (\S+) \{\n(.*?)\n\t\}/gs)]
  const [largest] = maps.sort((a, b) => (b[2]?.length ?? 0) - (a[2]?.length ?? 0))
  const elements = /elements = \{(.*)\}/s.exec(largest?.[2] ?? '')?.[1]
  const last = elements?.split(',').at(-1)?.trim()
  const key = last?.split(' : ')[0]
  if (largest?.[1] === undefined || last === undefined || key === undefined) return ''
  const at = `element ip kube-proxy ${largest[1]}`
  return `delete ${at} { ${key} }\nadd ${at} { ${last} }\n`
}

function oneServer(text: string): string {
  const last = text.split('\n').findLast((line) => line.startsWith('-a '))
  if (last === undefined) return ''
  const target = /^-a (-[tu] \S+ -r \S+)/.exec(last)?.[1] ?? ''
  return `-d ${target}\n${last}\n`
}

async function output(exec: Exec, request: ExecRequest): Promise<string> {
  const result = await exec.run(request)
  if (result.exitCode === 0) return result.stdout
  throw new Error(`Cannot read back with ${request.file}: ${result.stderr.trim()}`)
}

interface Cost {
  readonly ms: number
  /** Of the tool: it is the only child of this process that ends meanwhile. */
  readonly cpuMs: number
}

async function timed(exec: Exec, request: ExecRequest): Promise<Cost> {
  const before = cpuOf(process.pid)
  const startedMs = performance.now()
  const result = await exec.run(request)
  const ms = performance.now() - startedMs
  if (result.exitCode !== 0)
    throw new Error(`Cannot load with ${request.file}: ${result.stderr.trim().slice(0, 500)}`)
  return { ms, cpuMs: cpuSince(before, cpuOf(process.pid)).tools }
}
