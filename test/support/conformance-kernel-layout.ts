/** Where the addresses of a conformance case live in a node bed, and which sockets must be open there. Pure. */
import { familyOf, type Ip, parseIp } from '../../src/net/ip.ts'
import type { Protocol } from '../../src/net/protocol.ts'
import type { ApiObject, ConformanceCase, ConformanceFlow, Outcome } from '../conformance/conformance-case.ts'
import type { ListenRequest } from './node-bed-agent.ts'
import type { BedLayout } from './node-bed.ts'

interface EndpointPlace {
  readonly ip: Ip
  readonly nodeName: string | undefined
  readonly ports: readonly { readonly protocol: Protocol; readonly port: number }[]
}

/** One layout serves all steps of a case: an address that is a pod of this node in any step is one in all. */
export function layoutOf(given: ConformanceCase): BedLayout {
  const endpoints = endpointsOf(given)
  const nodeIps = new Set(given.node.ips.map(canonical))
  const isLocal = (one: EndpointPlace): boolean => one.nodeName === given.node.name
  const sources = (...senders: readonly ConformanceFlow['from'][]): string[] =>
    flowsOf(given).flatMap((flow) => (senders.includes(flow.from) ? [canonical(flow.sourceIp)] : []))
  const local = [...sources('pod', 'local-endpoint'), ...endpoints.filter(isLocal).map(({ ip }) => ip)]
  const remote = [
    ...sources('remote-endpoint'),
    ...endpoints.filter((one) => !isLocal(one)).map(({ ip }) => ip),
  ]
  // Endpoints in the host's network are the node itself.
  const localPodIps = unique(local).filter((ip) => !nodeIps.has(ip))
  const remoteIps = unique(remote).filter((ip) => !nodeIps.has(ip) && !localPodIps.includes(ip))
  return { nodeIps: [...nodeIps], localPodIps, remoteIps, externalIps: unique(sources('external')) }
}

/** Every port that is dialled, and every port of an endpoint, is answered wherever the packet may end up. */
export function listenersOf(given: ConformanceCase): ListenRequest {
  const family = given.node.family === 'IPv4' ? 4 : 6
  const tcp = new Set<number>()
  const udp = new Map<string, { ip: string; port: number }>()
  const open = (protocol: Protocol, ip: string, port: number): void => {
    if (protocol === 'TCP') tcp.add(port)
    if (protocol === 'UDP') udp.set(`${ip} ${port}`, { ip, port })
  }
  for (const flow of flowsOf(given)) open(flow.protocol, canonical(flow.destIp), flow.destPort)
  for (const { ip, ports } of endpointsOf(given))
    for (const { protocol, port } of ports) open(protocol, ip, port)
  // A port range ends at ports that no slice names.
  for (const flow of flowsOf(given))
    for (const outcome of [flow.expect, ...Object.values(flow.expectBy)])
      for (const { ip, port } of endpointsOfOutcome(outcome)) open(flow.protocol, ip, port)
  return { tcp: [...tcp].map((port) => ({ family, port })), udp: [...udp.values()] }
}

function endpointsOfOutcome(outcome: Outcome | undefined): { ip: string; port: number }[] {
  if (outcome?.kind !== 'dnat') return []
  return outcome.endpoints.map((text) => {
    const colon = text.lastIndexOf(':')
    const ip = text.slice(0, colon).replaceAll(/[[\]]/g, '')
    return { ip: canonical(ip), port: Number(text.slice(colon + 1)) }
  })
}

function flowsOf(given: ConformanceCase): ConformanceFlow[] {
  return given.steps.flatMap((step) => step.flows)
}

function endpointsOf(given: ConformanceCase): EndpointPlace[] {
  return given.steps
    .flatMap((step) => step.endpointSlices)
    .flatMap(endpointsOfSlice)
    .filter(({ ip }) => familyOf(ip) === given.node.family)
}

interface SliceShape {
  readonly endpoints?:
    readonly { readonly addresses?: readonly string[]; readonly nodeName?: string }[] | null
  readonly ports?: readonly { readonly protocol?: Protocol; readonly port?: number | null }[] | null
}

function endpointsOfSlice(slice: ApiObject): EndpointPlace[] {
  const { endpoints, ports } = slice as SliceShape
  const usable = (ports ?? []).flatMap(({ protocol, port }) =>
    typeof port === 'number' && port > 0 ? [{ protocol: protocol ?? ('TCP' as const), port }] : [],
  )
  return (endpoints ?? []).flatMap(({ addresses, nodeName }) => {
    const ip = parseIp(addresses?.[0] ?? '')
    return ip === undefined ? [] : [{ ip, nodeName, ports: usable }]
  })
}

function canonical(text: string): string {
  const ip = parseIp(text)
  if (ip === undefined) throw new Error(`Cannot lay out the case: "${text}" is not an address`)
  return ip
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)]
}
