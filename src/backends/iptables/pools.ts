/** How a pool of endpoints is referred to. */
import type { PoolName, PortForwarding } from '../../forwarding/forwarding.ts'
import { hashedChain } from './names.ts'

/** A pool as one kind of frontend uses it. */
export interface PoolUse {
  readonly pool: PoolName
  /** The frontend is a port range: the endpoint sees the port that was dialled. */
  readonly keepPort: boolean
}

export function poolChainName(port: PortForwarding, use: PoolUse, suffix = ''): string {
  return hashedChain(poolKind(use), [port.key], suffix)
}

export function poolKind({ pool, keepPort }: PoolUse): 'C' | 'L' | 'CP' | 'LP' {
  if (pool === 'cluster') return keepPort ? 'CP' : 'C'
  return keepPort ? 'LP' : 'L'
}
