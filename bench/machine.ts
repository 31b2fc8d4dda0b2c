/** On what all this was measured. */
import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'

export interface Machine {
  readonly processor: string
  readonly processors: number
  readonly memoryGb: number
  readonly kernel: string
  /** Program → the version it prints. */
  readonly versions: Readonly<Record<string, string>>
  /** Load average over a minute at the start: what else the machine was doing. */
  readonly loadAverage: number
}

const TOOLS: Readonly<Record<string, readonly string[]>> = {
  'iptables-legacy': ['--version'],
  'iptables-nft': ['--version'],
  nft: ['--version'],
  ipset: ['--version'],
  ipvsadm: ['--version'],
  wrk: ['--version'],
  iperf3: ['--version'],
}

export function describeMachine(): Machine {
  const all = cpus()
  const versions = Object.entries(TOOLS).map(([tool, args]) => [tool, versionOf(tool, args)] as const)
  return {
    processor: all[0]?.model.trim() ?? 'unknown',
    processors: all.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    versions: { node: process.version, ...Object.fromEntries(versions) },
    loadAverage: loadNow(),
  }
}

export function loadNow(): number {
  return Math.round((loadavg()[0] ?? 0) * 10) / 10
}

/** The first line that holds a number; some tools print their version to standard error, or with a failure. */
function versionOf(tool: string, args: readonly string[]): string {
  try {
    const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
    const text = execFileSync(tool, args, {
      encoding: 'utf8',
      env: { ...process.env, PATH: path },
      stdio: 'pipe',
    })
    return firstLine(text)
  } catch (error) {
    const { stdout = '', code } = error as { stdout?: string; code?: string }
    return code === 'ENOENT' ? 'not installed' : firstLine(stdout)
  }
}

function firstLine(text: string): string {
  return (
    text
      .split('\n')
      .find((line) => /\d/.test(line))
      ?.trim()
      .slice(0, 80) ?? 'unknown'
  )
}
