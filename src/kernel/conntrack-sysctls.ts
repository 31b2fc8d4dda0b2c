/**
 * Limits and timeouts of connection tracking (those of kube-proxy 1.36), with three differences to kube-proxy:
 * values are only ever raised, because the admin of a node may have had reasons; nothing here is fatal, because the
 * module may not be loaded before the first rule is; and every change is told with its reason.
 */
import type { Clock } from '../runtime/clock.ts'
import type { Logger } from '../runtime/logger.ts'
import type { Exec } from './exec.ts'
import { KernelError } from './kernel-error.ts'
import { Sysctls } from './sysctl.ts'

/** The configuration's section `conntrack`; 0 leaves a value alone. */
export interface ConntrackLimits {
  readonly maxPerCore: number
  readonly min: number
  readonly tcpEstablishedTimeoutMs: number
  readonly tcpCloseWaitTimeoutMs: number
  readonly tcpBeLiberal: boolean
  readonly udpTimeoutMs: number
  readonly udpStreamTimeoutMs: number
}

/** A kernel setting and the least it should be. */
export interface WantedSysctl {
  /** Path below `/proc/sys`. */
  readonly key: string
  readonly least: number
  /** Where the number comes from. */
  readonly why: string
}

export type SysctlOutcome =
  | {
      readonly key: string
      readonly outcome: 'raised'
      readonly from: number
      readonly to: number
      readonly why: string
    }
  | { readonly key: string; readonly outcome: 'high enough'; readonly value: number }
  /** The kernel has no such setting yet: nf_conntrack is not loaded. */
  | { readonly key: string; readonly outcome: 'missing' }
  | { readonly key: string; readonly outcome: 'refused'; readonly value: number; readonly error: KernelError }

const MAX_KEY = 'net/netfilter/nf_conntrack_max'
/** `/proc/sys` cannot change it, and it lies outside: hence the way up and down again. */
const HASH_SIZE_KEY = '../../sys/module/nf_conntrack/parameters/hashsize'
/** What the share per processor alone is allowed to ask for. */
const MOST_BY_SHARE = 1_048_576
const RETRY_MS = 10_000

/** What the settings ask for on a machine with so many processors; pure. */
export function wantedSysctls(limits: ConntrackLimits, cpus: number): WantedSysctl[] {
  const wanted: WantedSysctl[] = []
  const max = wantedMax(limits, cpus)
  if (max !== undefined) {
    wanted.push({ key: MAX_KEY, ...max })
    wanted.push({
      key: HASH_SIZE_KEY,
      least: Math.floor(max.least / 4),
      why: 'a quarter of nf_conntrack_max',
    })
  }
  const timeout = (name: string, ms: number, setting: string): void => {
    if (ms >= 1000)
      wanted.push({ key: `net/netfilter/nf_conntrack_${name}`, least: Math.floor(ms / 1000), why: setting })
  }
  timeout('tcp_timeout_established', limits.tcpEstablishedTimeoutMs, 'conntrack.tcpEstablishedTimeout')
  timeout('tcp_timeout_close_wait', limits.tcpCloseWaitTimeoutMs, 'conntrack.tcpCloseWaitTimeout')
  timeout('udp_timeout', limits.udpTimeoutMs, 'conntrack.udpTimeout')
  timeout('udp_timeout_stream', limits.udpStreamTimeoutMs, 'conntrack.udpStreamTimeout')
  if (limits.tcpBeLiberal)
    wanted.push({ key: 'net/netfilter/nf_conntrack_tcp_be_liberal', least: 1, why: 'conntrack.tcpBeLiberal' })
  return wanted
}

function wantedMax(
  { maxPerCore, min }: ConntrackLimits,
  cpus: number,
): Omit<WantedSysctl, 'key'> | undefined {
  if (maxPerCore === 0) return undefined
  const share = Math.min(maxPerCore * cpus, MOST_BY_SHARE)
  if (share >= min) return { least: share, why: `conntrack.maxPerCore ${maxPerCore} for ${cpus} processors` }
  return { least: min, why: 'conntrack.min' }
}

/** Raises what is too low. Never throws for what the kernel refuses or does not have. */
export async function raiseSysctls(
  exec: Exec,
  wanted: readonly WantedSysctl[],
  signal: AbortSignal,
): Promise<SysctlOutcome[]> {
  const sysctls = new Sysctls(exec)
  const outcomes: SysctlOutcome[] = []
  for (const one of wanted) outcomes.push(await raise(sysctls, one, signal))
  return outcomes
}

async function raise(
  sysctls: Sysctls,
  { key, least, why }: WantedSysctl,
  signal: AbortSignal,
): Promise<SysctlOutcome> {
  const name = shortName(key)
  const text = await sysctls.read(key, signal)
  if (text === undefined || !/^\d+$/.test(text)) return { key: name, outcome: 'missing' }
  const value = Number(text)
  if (value >= least) return { key: name, outcome: 'high enough', value }
  try {
    await sysctls.ensure(key, String(least), signal)
    return { key: name, outcome: 'raised', from: value, to: least, why }
  } catch (error) {
    if (!(error instanceof KernelError)) throw error
    return { key: name, outcome: 'refused', value, error }
  }
}

function shortName(key: string): string {
  return key === HASH_SIZE_KEY ? '/sys/module/nf_conntrack/parameters/hashsize' : key
}

export interface KeepRaisedOptions {
  readonly exec: Exec
  readonly wanted: readonly WantedSysctl[]
  readonly clock: Clock
  readonly logger: Logger
}

/**
 * Raises and says so, and comes back every ten seconds while the kernel does not have all of them. Resolves when there
 * is nothing left to wait for, or when the signal is aborted.
 */
export async function keepRaised(
  options: KeepRaisedOptions,
  signal: AbortSignal,
): Promise<readonly SysctlOutcome[]> {
  const { exec, clock, logger } = options
  const done: SysctlOutcome[] = []
  let wanted = options.wanted
  for (let attempt = 1; wanted.length > 0 && !signal.aborted; attempt++) {
    const outcomes = await raiseSysctls(exec, wanted, signal)
    for (const outcome of outcomes) say(outcome, logger, attempt)
    done.push(...outcomes.filter(({ outcome }) => outcome !== 'missing'))
    wanted = wanted.filter((_, index) => outcomes[index]?.outcome === 'missing')
    if (wanted.length > 0) await clock.sleep(RETRY_MS, signal).catch(() => undefined)
  }
  return done
}

function say(result: SysctlOutcome, logger: Logger, attempt: number): void {
  const { key: sysctl } = result
  if (result.outcome === 'raised')
    logger.info({ sysctl, from: result.from, to: result.to, why: result.why }, 'Raised a kernel setting')
  else if (result.outcome === 'refused')
    logger.warn({ sysctl, value: result.value, err: result.error }, 'Cannot raise a kernel setting')
  else if (result.outcome === 'missing' && attempt === 1)
    logger.info({ sysctl, retryInMs: RETRY_MS }, 'The kernel does not have this setting yet')
}
