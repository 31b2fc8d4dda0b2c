/**
 * The data plane's figures. Services, the pod address and the node without rules are always measured in turn within one
 * loop, so that whatever else the machine does hits all of them alike; the ratios are what counts.
 */
import type { Bed } from './bed.ts'
import { BARE_IP, endpointIp, PORTS, type Position, probed } from './cluster.ts'
import { serviceTarget } from './control-plane.ts'
import { judgeSpread, type Spread, type Summary, summarize } from './statistics.ts'

/** `bare`: a pod through a node without any rule. `direct`: straight to a pod through the node of the proxy. */
export type Place = 'bare' | 'direct' | Position

export interface LatencyFigures {
  /** Microseconds of a new connection, or of the first datagram and its answer. */
  readonly byPlace: Readonly<Record<Place, Summary>>
  readonly failed: number
}

export interface DataFigures {
  readonly tcp: LatencyFigures
  readonly udp: LatencyFigures | undefined
  readonly spread: Spread | undefined
}

const PLACES: readonly Place[] = ['bare', 'direct', 'first', 'middle', 'last']
/** Where every endpoint can be expected to be reached. */
const MOST_ENDPOINTS_TO_JUDGE = 100
const CONNECTIONS_PER_ENDPOINT = 100

export async function measureData(bed: Bed, connections: number): Promise<DataFigures> {
  const { prober, size } = bed
  const tcp = await prober.timeConnections(connections, targets(bed, 'tcp'))
  const small = size.endpoints <= MOST_ENDPOINTS_TO_JUDGE
  const udp = small ? await prober.timeDatagrams(connections, targets(bed, 'udp')) : undefined
  return {
    tcp: latency(tcp),
    udp: udp && latency(udp),
    spread: small ? await measureSpread(bed) : undefined,
  }
}

async function measureSpread(bed: Bed): Promise<Spread> {
  const { endpoints } = bed.size
  const target = serviceTarget(probed(bed.size).last)
  const counts = await bed.prober.spread(Math.max(1000, CONNECTIONS_PER_ENDPOINT * endpoints), target)
  counts.delete('failed')
  return judgeSpread([...counts.values()], endpoints)
}

function targets(bed: Bed, port: 'tcp' | 'udp'): string[] {
  const services = probed(bed.size)
  const { target } = PORTS[port]
  return PLACES.map((place) => {
    if (place === 'bare') return `${BARE_IP}:${target}`
    if (place === 'direct') return `${endpointIp(bed.size, services.middle, 0)}:${target}`
    return serviceTarget(services[place], port)
  })
}

function latency(times: readonly (readonly number[])[]): LatencyFigures {
  const answered = times.map((list) => list.filter((us) => !Number.isNaN(us)))
  const failed = times.flat().length - answered.flat().length
  const summaryAt = (index: number): Summary =>
    summarize(answered[index] ?? []) ?? { count: 0, p50: 0, p90: 0, p99: 0, max: 0 }
  const byPlace = Object.fromEntries(PLACES.map((place, index) => [place, summaryAt(index)]))
  return { byPlace: byPlace as Record<Place, Summary>, failed }
}
