/** Which service port a line of our own script belongs to. */
import type { Forwarding, PortForwarding } from '../../forwarding/forwarding.ts'
import type { ServicePortKey } from '../../model/service-port.ts'
import { matchDestination, matchPort } from '../../netfilter/iptables/rule.ts'
import { hashIn, hashOf } from './names.ts'
import { endpointText } from './plan-pools.ts'

/** `undefined`: the line belongs to the node as a whole, or to nobody any more. */
export function blamedPort(line: string, forwarding: Forwarding): ServicePortKey | undefined {
  const hash = hashIn(line)
  for (const [key, port] of forwarding.ports) if (leadsTo(line, hash, port)) return key
  return undefined
}

function leadsTo(line: string, hash: string | undefined, port: PortForwarding): boolean {
  if (hash !== undefined && hash === hashOf([port.key])) return true
  const byFrontend = port.frontends.some(({ ip, port: first, lastPort }) => {
    const ports = matchPort(port.protocol, first, lastPort ?? first)
    const match = ip === undefined ? ` ${ports} ` : ` ${matchDestination(ip)} ${ports} `
    return line.includes(match)
  })
  if (byFrontend || hash === undefined) return byFrontend
  const targets = [...port.pools.cluster, ...port.pools.local]
  return targets.some((target) => hash === hashOf([port.key, endpointText(target)]))
}
