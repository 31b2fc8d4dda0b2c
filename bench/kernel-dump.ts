/**
 * Everything that a proxy has in the kernel of a node, as text that is the same for the same contents: what has no
 * order is sorted, and what counts or names by chance is left out.
 */
import type { Exec } from '../src/kernel/exec.ts'
import { type Mode, variantOf } from './subjects.ts'

export async function kernelDump(node: Exec, mode: Mode): Promise<string> {
  if (mode === 'nftables') return sortedNftables(await output(node, 'nft', ['--json', 'list', 'ruleset']))
  const programs = ['iptables', 'ip6tables'].map((name) => `${name}-${variantOf(mode)}-save`)
  const parts: string[] = []
  for (const program of programs) parts.push(sortedRules(program, await output(node, program, [])))
  parts.push(sortedSets(await output(node, 'ipset', ['save'])))
  if (mode === 'ipvs') {
    parts.push(sortedLines(await output(node, 'ipvsadm', ['-S', '-n'])))
    for (const family of ['-4', '-6'])
      parts.push(
        sortedLines(
          await output(node, 'ip', [family, 'route', 'show', 'table', 'local', 'dev', 'kube-ipvs0']),
        ),
      )
  }
  return parts.join('\n')
}

/** Empties the node of everything that a proxy could have put there. */
export async function emptyKernel(node: Exec, mode: Mode): Promise<void> {
  if (mode === 'nftables' || variantOf(mode) === 'nft') await output(node, 'nft', ['flush', 'ruleset'])
  if (mode === 'nftables') return
  const tables = ['raw', 'mangle', 'nat', 'filter'].map((table) => `*${table}\nCOMMIT\n`).join('')
  for (const program of ['iptables', 'ip6tables'])
    await output(node, `${program}-${variantOf(mode)}-restore`, [], tables)
  if (mode === 'ipvs') {
    await output(node, 'ipvsadm', ['-C'])
    await output(node, 'ip', ['link', 'delete', 'kube-ipvs0'])
  }
  await output(node, 'ipset', ['destroy'])
}

/** Rules keep their order within a chain; chains have none. What a table has by itself says only whether it was looked at. */
export function sortedRules(program: string, text: string): string {
  let table = ''
  const counts = new Map<string, number>()
  const lines = text.split('\n').flatMap((line) => {
    if (line.startsWith('*')) table = line
    const chain = /^-A (\S+)/.exec(line)?.[1]
    if (chain === undefined)
      return /^:/.test(line) && !/^:[A-Z]+ ACCEPT /.test(line)
        ? [`${program} ${table} ${line.replace(/ \[.*/, '')}`]
        : []
    const place = `${program} ${table} ${chain}`
    const n = (counts.get(place) ?? 0) + 1
    counts.set(place, n)
    return [`${place} ${String(n).padStart(5, '0')} ${line}`]
  })
  return lines.sort().join('\n')
}

/** A set's hash has a seed of its own, and the size that it once grew to. */
export function sortedSets(text: string): string {
  return sortedLines(text.replaceAll(/ (?:initval \S+|hashsize \d+|bucketsize \d+)/g, ''))
}

function sortedLines(text: string): string {
  return text.split('\n').filter(Boolean).sort().join('\n')
}

type NftObject = Readonly<Record<string, { readonly [field: string]: unknown } | undefined>>

/** Elements and objects are sorted; rules keep their order within a chain. Handles are left out. */
export function sortedNftables(text: string): string {
  const { nftables } = JSON.parse(text) as { readonly nftables: readonly NftObject[] }
  const counts = new Map<string, number>()
  const lines = nftables.flatMap((object) => {
    const [kind = '', value = {}] = Object.entries(object)[0] ?? []
    if (kind === 'metainfo') return []
    const { handle: _handle, elem, ...rest } = value
    const elements = Array.isArray(elem) ? elem.map((one) => JSON.stringify(one)).sort() : []
    const place = `${kind} ${String(value['family'])} ${String(value['table'])} ${String(value['chain'] ?? value['name'])}`
    const n = kind === 'rule' ? (counts.get(place) ?? 0) + 1 : 0
    counts.set(place, n)
    const own = `${place} ${String(n).padStart(5, '0')} ${JSON.stringify(withoutCounters(rest))}`
    return [own, ...elements.map((element) => `${place} element ${element}`)]
  })
  return lines.sort().join('\n')
}

function withoutCounters(value: unknown): unknown {
  const text = JSON.stringify(value)
  return JSON.parse(text.replaceAll(/"(?:packets|bytes)":\d+/g, '"n":0')) as unknown
}

async function output(node: Exec, file: string, args: readonly string[], stdin?: string): Promise<string> {
  const result = await node.run({ file, args, ...(stdin === undefined ? {} : { stdin }) })
  if (result.exitCode !== 0)
    throw new Error(`Cannot look at the kernel: ${file} ${args.join(' ')}: ${result.stderr.trim()}`)
  return result.stdout
}
