/**
 * IPVS where the host's kernel lacks it: the same bench, run once more inside a user-mode-linux kernel. That one has a
 * single processor and slow system calls, so only ratios within it mean anything, and the report says so.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runInUml } from '../src/lab/uml/uml-machine.ts'
import type { Report, Result } from './results.ts'
import type { Peer } from './subjects.ts'

const ROOT = join(import.meta.dirname, '..')
const MEMORY_MB = 3072
/** For each proxy that is measured. */
const TIMEOUT_MS = 900_000
/** Larger clusters take tens of minutes there. */
export const MOST_SERVICES_IN_UML = 1000

/** kube-proxy takes another mode when one of them is not loaded. */
const IPVS_MODULES = ['ip_vs', 'ip_vs_rr', 'ip_vs_wrr', 'ip_vs_sh', 'nf_conntrack']

export function kernelHasIpvs(): boolean {
  if (existsSync('/proc/net/ip_vs')) return true
  // Inside the guest, this names the program that knows where its modules are.
  const modprobe = process.env['MODPROBE'] ?? 'modprobe'
  spawnSync(modprobe, ['--all', ...IPVS_MODULES], { stdio: 'ignore' })
  return existsSync('/proc/net/ip_vs')
}

/** Resolves to the results of one scenario. Throws when the machine or the bench inside did not come to an end. */
export async function benchInUml(
  scenario: string,
  options: { readonly quick: boolean; readonly peers: readonly Peer[] },
): Promise<Result[]> {
  const directory = mkdtempSync(join(tmpdir(), 'fairlead-bench-uml-'))
  const file = join(directory, 'report.json')
  try {
    const { output } = await runInUml({
      command: process.execPath,
      args: [
        '--disable-warning=ExperimentalWarning',
        join(import.meta.dirname, 'main.ts'),
        ...['--scenario', scenario, '--mode', 'ipvs', '--json', file, '--out', directory],
        ...options.peers.flatMap(({ name, path }) => ['--peer', `${name}=${path}`]),
        ...(options.quick ? ['--quick'] : []),
      ],
      cwd: ROOT,
      memoryMb: MEMORY_MB,
      timeoutMs: TIMEOUT_MS * (1 + options.peers.length),
    })
    if (!existsSync(file)) throw new Error(`Cannot measure inside user-mode-linux: ${output.slice(-500)}`)
    const { results } = JSON.parse(readFileSync(file, 'utf8')) as Report
    if (results.length === 0)
      throw new Error('Cannot measure inside user-mode-linux: no result came out of it')
    return results.map((result) => ({ ...result, subject: `${result.subject} (user-mode-linux)` }))
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
