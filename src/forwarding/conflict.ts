import type { ServiceKey, ServicePortKey } from '../model/service-port.ts'
import { hostPort } from '../net/ip.ts'
import type { PortForwarding, Frontend } from './forwarding.ts'

/**
 * Why a frontend is left out. `taken`: an older Service, or of two equally old ones the
 * first by name, has the address and port. `cluster-ip`: the address is the
 * ClusterIP of another Service. `endpoint`: address and port are an endpoint of another Service. `node-address`: an
 * external IP that is the node's own primary address. `not-allowed`: an external IP outside the allow-list.
 */
export type ConflictReason = 'taken' | 'cluster-ip' | 'endpoint' | 'node-address' | 'not-allowed'

/** One frontend that a Service asked for and does not get; its other frontends hold. */
export interface Conflict {
  readonly service: ServiceKey
  readonly key: ServicePortKey
  /** The Service's UID, for an event about it. */
  readonly uid: string
  readonly frontend: Pick<Frontend, 'kind' | 'ip' | 'port' | 'lastPort'>
  readonly reason: ConflictReason
  /** Who has it instead; `undefined` where it is nobody's. */
  readonly owner: ServicePortKey | undefined
  /** One line for people. */
  readonly message: string
}

export interface Claimant {
  readonly port: PortForwarding
  readonly uid: string
  readonly createdMs: number
}

export function conflictOf(
  claimant: Pick<Claimant, 'port' | 'uid'>,
  frontend: Frontend,
  because: { readonly reason: ConflictReason; readonly owner: ServicePortKey | undefined },
): Conflict {
  const { kind, ip, port, lastPort } = frontend
  const { service, key, protocol } = claimant.port
  const where = ip === undefined ? `NodePort ${port}` : `${kind} ${hostPort(ip, port)}`
  const range = lastPort === undefined ? '' : `-${lastPort}`
  return {
    service,
    key,
    uid: claimant.uid,
    frontend: { kind, ip, port, lastPort },
    ...because,
    message: `${where}${range}/${protocol} is left out: ${explained(because.reason, because.owner)}`,
  }
}

function explained(reason: ConflictReason, owner: ServicePortKey | undefined): string {
  switch (reason) {
    case 'taken':
      return `${owner ?? '?'}, which is older or comes first by name, has it`
    case 'cluster-ip':
      return `the address is the ClusterIP of ${owner ?? '?'}`
    case 'endpoint':
      return `it is the address of an endpoint of ${owner ?? '?'}`
    case 'node-address':
      return 'the address is the node’s own; list it in --external-ip-cidrs to allow it'
    case 'not-allowed':
      return 'the address is outside --external-ip-cidrs'
  }
}
