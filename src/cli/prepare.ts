/** `--init-only` and `--cleanup`: what is done to the host without watching a cluster. */
import { cpus } from 'node:os'
import type { Backend, BackendName } from '../backends/backend.ts'
import type { Config } from '../config/config.ts'
import { createBackend } from '../daemon/create-backend.ts'
import { hostFamilies } from '../daemon/host-families.ts'
import { raiseSysctls, wantedSysctls } from '../kernel/conntrack-sysctls.ts'
import type { Exec } from '../kernel/exec.ts'
import { KernelError } from '../kernel/kernel-error.ts'
import { ProgramRunner } from '../kernel/program-runner.ts'
import { Sysctls } from '../kernel/sysctl.ts'
import type { KernelObject } from '../netfilter/kernel-state.ts'
import type { Family } from '../net/ip.ts'
import { createLogger } from '../runtime/create-logger.ts'
import { silentLogger } from '../runtime/logger.ts'

const MODES: readonly BackendName[] = ['iptables', 'ipvs', 'nftables']

/** What is missing on this host cannot have left anything behind. */
const NOTHING_THERE = new Set(['missing-tool', 'unsupported'])

/**
 * Removes all that is ours, in every mode and family, and nothing else; prints a line for each object. Resolves to 1
 * when something could not be removed.
 */
export async function cleanup(config: Config, signal: AbortSignal): Promise<number> {
  const exec = new ProgramRunner()
  const places = MODES.flatMap((mode) =>
    hostFamilies().map((family) => ({ config: { ...config, mode }, family, exec })),
  )
  let failed = false
  for (const place of places) if (!(await cleanupOne(place, signal))) failed = true
  return failed ? 1 : 0
}

interface CleanupContext {
  readonly config: Config
  readonly family: Family
  readonly exec: Exec
}

/** Resolves to whether all went that was there. */
async function cleanupOne(context: CleanupContext, signal: AbortSignal): Promise<boolean> {
  const { config, family } = context
  try {
    const backend = await backendOf(context)
    for (const line of await backend.cleanup(signal))
      process.stdout.write(`removed ${config.mode} ${family} ${line}\n`)
    return true
  } catch (error) {
    if (error instanceof KernelError && NOTHING_THERE.has(error.code)) return true
    process.stderr.write(`fairlead: ${error instanceof Error ? error.message : String(error)}\n`)
    return false
  }
}

async function backendOf({ config, family, exec }: CleanupContext): Promise<Backend<KernelObject>> {
  const masqueradeMark = (1 << config.masqueradeBit) >>> 0
  const options = { family, detector: undefined, masqueradeMark, dropInvalid: true }
  return createBackend({ config, options, exec, log: silentLogger, nodeName: '' })
}

/**
 * Writes the kernel settings that need more rights than the daemon has later, then ends: for an init container. Throws
 * KernelError when the mode cannot work on this host.
 */
export async function initOnly(config: Config, signal: AbortSignal): Promise<number> {
  const { format, verbosity } = config.logging
  const log = createLogger({ format, verbosity, write: (line) => process.stderr.write(line) })
  const exec = new ProgramRunner()
  for (const family of hostFamilies()) await backendOf({ config, family, exec })
  // As kube-proxy: the guard against neighbours comes with the rules, which a daemon without this right can write.
  if (config.localhostNodePorts && config.mode !== 'ipvs')
    await new Sysctls(exec).ensure('net/ipv4/conf/all/route_localnet', '1', signal)
  const outcomes = await raiseSysctls(exec, wantedSysctls(config.conntrack, cpus().length), signal)
  for (const { key, outcome } of outcomes) log.info({ sysctl: key, outcome }, 'Looked at a kernel setting')
  const refused = outcomes.filter(({ outcome }) => outcome === 'refused')
  for (const { key } of refused)
    process.stderr.write(
      `fairlead: Cannot raise ${key}: the kernel refuses; run --init-only with write access to /proc/sys\n`,
    )
  return refused.length === 0 ? 0 : 1
}
