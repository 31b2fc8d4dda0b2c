/** `--init-only` and `--cleanup`: what is done to the host without watching a cluster. */
import { cpus } from 'node:os'
import type { Config } from '../config/config.ts'
import { type BackendWiring, createBackend } from '../daemon/create-backend.ts'
import { hostFamilies } from '../daemon/host-families.ts'
import { type Predecessor, everyProxy, isNothingThere } from '../daemon/predecessors.ts'
import { raiseSysctls, wantedSysctls } from '../kernel/conntrack-sysctls.ts'
import type { Exec } from '../kernel/exec.ts'
import { ProgramRunner } from '../kernel/program-runner.ts'
import { Sysctls } from '../kernel/sysctl.ts'
import type { Family } from '../net/ip.ts'
import { createLogger } from '../runtime/create-logger.ts'
import { silentLogger } from '../runtime/logger.ts'

/**
 * Removes all that is ours or a former kube-proxy's, in every mode, iptables variant and family, and nothing else;
 * prints a line for each object. Resolves to 1 when something could not be removed.
 */
export async function cleanup(config: Config, signal: AbortSignal): Promise<number> {
  const exec = new ProgramRunner()
  let failed = false
  for (const family of hostFamilies())
    for (const proxy of everyProxy(wiringOf({ config, family, exec })))
      if (!(await clear(proxy, family, signal))) failed = true
  return failed ? 1 : 0
}

/** Resolves to whether all went that was there. */
async function clear(proxy: Predecessor, family: Family, signal: AbortSignal): Promise<boolean> {
  try {
    const { removed } = await proxy.clear(signal)
    for (const line of removed) process.stdout.write(`removed ${proxy.title} ${family} ${line}\n`)
    return true
  } catch (error) {
    if (isNothingThere(error)) return true
    process.stderr.write(`fairlead: ${error instanceof Error ? error.message : String(error)}\n`)
    return false
  }
}

interface PrepareContext {
  readonly config: Config
  readonly family: Family
  readonly exec: Exec
}

function wiringOf({ config, family, exec }: PrepareContext): BackendWiring {
  const masqueradeMark = (1 << config.masqueradeBit) >>> 0
  const options = { family, detector: undefined, masqueradeMark, dropInvalid: true }
  return { config, options, exec, log: silentLogger, nodeName: '' }
}

/**
 * Writes the kernel settings that need more rights than the daemon has later, then ends: for an init container. Throws
 * KernelError when the mode cannot work on this host.
 */
export async function initOnly(config: Config, signal: AbortSignal): Promise<number> {
  const { format, verbosity } = config.logging
  const log = createLogger({ format, verbosity, write: (line) => process.stderr.write(line) })
  const exec = new ProgramRunner()
  for (const family of hostFamilies()) await createBackend(wiringOf({ config, family, exec }))
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
