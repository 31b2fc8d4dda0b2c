import type { Logger } from '../runtime/logger.ts'
import type { Exec } from './exec.ts'
import type { IpvsControl } from './ipvs-control.ts'
import { IpvsNetlink } from './ipvs-netlink.ts'
import { Ipvsadm } from './ipvsadm.ts'

/**
 * The fastest way to the virtual servers of the network namespace that this process is in: netlink, or `ipvsadm` where
 * there is no socket to be had. `exec` must run programs in that same namespace.
 */
export async function openIpvsControl(exec: Exec, log: Logger): Promise<IpvsControl> {
  const program = new Ipvsadm(exec)
  const netlink = await IpvsNetlink.open(program)
  if (netlink === undefined)
    log.debug({}, 'Writing virtual servers by ipvsadm, as there is no netlink socket')
  return netlink ?? program
}
