/** Which service port the text belongs to that nft pointed at. */
import type { Forwarding, PortForwarding } from '../../forwarding/forwarding.ts'
import type { ServicePortKey } from '../../model/service-port.ts'
import { endpointPortsIn, endpointsIn } from './names.ts'
import { endpointKey, keyOf, spaceOf } from './plan-port.ts'

/**
 * `script` and `stderr` of a refused transaction. nft names line and columns, `/dev/stdin:3:25-35: Error: …`, and means
 * one element. `undefined`: the place belongs to the node as a whole, or to nobody.
 */
export function blamedPort(
  failure: { readonly script: string; readonly stderr: string },
  forwarding: Forwarding,
): ServicePortKey | undefined {
  const [, line, from] = /^\/dev\/stdin:(\d+):(\d+)-\d+: Error/m.exec(failure.stderr) ?? []
  if (line === undefined || from === undefined) return undefined
  const text = failure.script.split('\n')[Number(line) - 1] ?? ''
  const container = /^(?:add|delete) element \S+ \S+ (\S+) \{/.exec(text)?.[1]
  if (container === undefined) return undefined
  const element = elementAt(text, Number(from) - 1)
  for (const [key, port] of forwarding.ports) if (mentions(port, container, element)) return key
  return undefined
}

/** The whole element that a column lies in. */
function elementAt(line: string, column: number): string {
  const start = Math.max(line.lastIndexOf(', ', column), line.lastIndexOf('{ ', column)) + 2
  const comma = line.indexOf(',', start)
  return line.slice(start, comma < 0 ? line.lastIndexOf(' }') : comma)
}

/** Elements begin with the key of their frontend; the next character is not part of a longer port. */
function mentions(port: PortForwarding, container: string, element: string): boolean {
  return port.frontends.some((frontend) => {
    const space = spaceOf(frontend)
    const ofEndpoint =
      container === endpointsIn(space, port.protocol) ||
      (space !== 'range' && container === endpointPortsIn(space, port.protocol))
    if (!ofEndpoint && /endpoint(?:s|-ports)-(?:tcp|udp|sctp)$/.test(container)) return false
    const key = ofEndpoint ? endpointKey(port, frontend) : keyOf(port, frontend)
    return element === key || element.startsWith(`${key} `)
  })
}
