/** Settings of the IPVS mode, with what they are when nobody sets them. */
import type { Cidr } from '../../net/cidr.ts'
import { schedulerOfFlag } from './plan-scheduler.ts'

export interface IpvsSettings {
  /** As the flag has it; empty: `rr`. */
  readonly scheduler: string
  /** Virtual servers in these networks that are not a Service's are never removed. */
  readonly excludeCidrs: readonly Cidr[]
  /** Answer ARP only for addresses of the interface that the question came in by. */
  readonly strictArp: boolean
  /** How long connections to a removed endpoint may go on when its Service does not say. */
  readonly drainTimeoutMs: number
  /** Milliseconds; 0 leaves the kernel's value. */
  readonly tcpTimeoutMs: number
  readonly tcpFinTimeoutMs: number
  readonly udpTimeoutMs: number
}

export const DEFAULT_IPVS_SETTINGS: IpvsSettings = {
  scheduler: '',
  excludeCidrs: [],
  strictArp: false,
  drainTimeoutMs: 15 * 60_000,
  tcpTimeoutMs: 0,
  tcpFinTimeoutMs: 0,
  udpTimeoutMs: 0,
}

/** Path below `/proc/sys` and value, in the order of writing. `kernel`: as `uname -r` prints it. */
export function wantedSysctls(
  settings: Pick<IpvsSettings, 'strictArp'>,
  kernel: string,
): readonly (readonly [key: string, value: string])[] {
  const version = kernelVersion(kernel)
  return [
    ['net/ipv4/vs/conntrack', '1'],
    // From 4.1 to 5.8 the other value costs a second whenever a client uses a port again; 5.9 mended that, and there
    // 0 would keep such clients on a server that is being drained.
    ...(version >= 401 && version < 509 ? ([['net/ipv4/vs/conn_reuse_mode', '0']] as const) : []),
    ['net/ipv4/vs/expire_nodest_conn', '1'],
    ['net/ipv4/vs/expire_quiescent_template', '1'],
    ['net/ipv4/ip_forward', '1'],
    ...(settings.strictArp
      ? ([
          ['net/ipv4/conf/all/arp_ignore', '1'],
          ['net/ipv4/conf/all/arp_announce', '2'],
        ] as const)
      : []),
  ]
}

export function defaultScheduler(settings: Pick<IpvsSettings, 'scheduler'>): string {
  return schedulerOfFlag(settings.scheduler)
}

/** `6.1.176` → 601. */
function kernelVersion(release: string): number {
  const [, major = '0', minor = '0'] = /^(\d+)\.(\d+)/.exec(release) ?? []
  return Number(major) * 100 + Number(minor)
}
