import type { IpvsServer } from '../netfilter/ipvs/virtual-server.ts'

/**
 * The virtual servers of the kernel, of both families: by the program `ipvsadm`, or by the kernel's own messages. All
 * methods throw `KernelError`.
 */
export interface IpvsControl {
  /** Every virtual server, each followed by its real servers. */
  list(signal: AbortSignal): Promise<readonly IpvsServer[]>
  /**
   * Carries out commands in the language of `ipvsadm --restore`. A command that is refused does not keep those after
   * it from being carried out.
   */
  restore(script: string, signal: AbortSignal): Promise<void>
  /** Active and inactive connections of the real servers of these virtual servers (at least), by their keys. */
  connections(selectors: ReadonlySet<string>, signal: AbortSignal): Promise<ReadonlyMap<string, number>>
  /** Whether this virtual server exists. */
  has(selector: string, signal: AbortSignal): Promise<boolean>
  /** Seconds until a silent connection is forgotten; 0 leaves a value as it is. */
  setTimeouts(timeouts: IpvsTimeouts, signal: AbortSignal): Promise<void>
}

export interface IpvsTimeouts {
  readonly tcpSeconds: number
  readonly tcpFinSeconds: number
  readonly udpSeconds: number
}
