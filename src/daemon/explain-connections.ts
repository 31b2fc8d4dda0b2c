/** Open connections of explained service ports, from connection tracking. */
import type { ExplainedPort, OpenConnections } from '../explain/explanation.ts'
import type { ProxyView } from '../explain/proxy-view.ts'
import { frontendAddress } from '../explain/route-words.ts'
import type { Frontend } from '../forwarding/forwarding.ts'
import { Conntrack } from '../kernel/conntrack.ts'
import type { Exec } from '../kernel/exec.ts'
import type { Flow } from '../netfilter/conntrack/flow.ts'
import { hostPort, type Ip } from '../net/ip.ts'

/** Each look walks the whole table of connections, so there are only so many of them for one answer. */
const MOST_LOOKS = 32

export interface CountOptions {
  readonly view: ProxyView
  readonly exec: Exec
  readonly signal: AbortSignal
}

/** Ports for which connection tracking cannot be asked, or which come too late in the list, are left without. */
export async function countConnections(
  ports: readonly ExplainedPort[],
  options: CountOptions,
): Promise<readonly ExplainedPort[]> {
  const counted: ExplainedPort[] = []
  let looks = 0
  for (const port of ports) {
    const { frontends, isLocal } = frontendsOf(port, options.view)
    looks += frontends.length
    const connections =
      looks > MOST_LOOKS ? undefined : await connectionsOf(port, { ...options, frontends, isLocal })
    counted.push(connections === undefined ? port : { ...port, connections })
  }
  return counted
}

interface PortFrontends {
  readonly frontends: readonly Frontend[]
  readonly isLocal: (ip: Ip) => boolean
}

function frontendsOf({ family, servicePort }: ExplainedPort, view: ProxyView): PortFrontends {
  const forwarding = view.families.find((one) => one.family === family)?.forwarding
  const localIps = new Set(forwarding?.node.localIps)
  return {
    frontends: forwarding?.ports.get(servicePort)?.frontends ?? [],
    isLocal: (ip) => localIps.has(ip),
  }
}

/** `undefined` where connection tracking cannot be asked. */
async function connectionsOf(
  { family, protocol }: ExplainedPort,
  { exec, signal, frontends, isLocal }: CountOptions & PortFrontends,
): Promise<OpenConnections | undefined> {
  const table = new Conntrack(exec)
  try {
    let flows: Flow[] = []
    const byFrontend: Record<string, number> = {}
    for (const frontend of frontends) {
      const { ip, port: first, lastPort } = frontend
      const query = { family, protocol, ip, port: lastPort === undefined ? first : undefined }
      const found = await table.list(query, signal)
      const isOurs = (flow: Flow): boolean => isAimedAt(flow, { ip, port: first, lastPort }, isLocal)
      const open = found.filter((flow) => flow.ended !== true && isOurs(flow))
      byFrontend[frontendAddress(frontend, protocol)] = open.length
      flows = flows.concat(open)
    }
    return { ...counted(flows), byFrontend }
  } catch {
    return undefined
  }
}

function isAimedAt(
  { destination, destinationPort }: Flow,
  { ip, port, lastPort }: Pick<Frontend, 'ip' | 'port' | 'lastPort'>,
  isLocal: (ip: Ip) => boolean,
): boolean {
  if (destinationPort < port || destinationPort > (lastPort ?? port)) return false
  return ip === undefined ? isLocal(destination) : destination === ip
}

function counted(flows: readonly Flow[]): Omit<OpenConnections, 'byFrontend'> {
  const byEndpoint: Record<string, number> = {}
  for (const { replySource, replySourcePort } of flows) {
    const endpoint = hostPort(replySource, replySourcePort)
    byEndpoint[endpoint] = (byEndpoint[endpoint] ?? 0) + 1
  }
  return { total: flows.length, unanswered: flows.filter(({ unreplied }) => unreplied).length, byEndpoint }
}
