/** Which IP families this host serves: read from the kernel's own files, no tool involved. */
import { existsSync, readFileSync } from 'node:fs'
import type { Family } from '../net/ip.ts'

/** IPv4 always; IPv6 unless the kernel has none or it is switched off for all interfaces. */
export function hostFamilies(): readonly Family[] {
  return hasIpv6() ? ['IPv4', 'IPv6'] : ['IPv4']
}

function hasIpv6(): boolean {
  if (!existsSync('/proc/net/if_inet6')) return false
  try {
    return readFileSync('/proc/sys/net/ipv6/conf/all/disable_ipv6', 'utf8').trim() !== '1'
  } catch {
    return false
  }
}
