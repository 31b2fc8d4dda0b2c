/** Sustained load with wrk and iperf3, through a Service and straight to a pod in turn. */
import type { Bed } from './bed.ts'
import { endpointIp, PORTS, probed } from './cluster.ts'
import { serviceTarget } from './control-plane.ts'
import { spawnInside } from './inside.ts'

/** One pair of numbers: the same load with and without a Service between. */
export interface Pair {
  readonly direct: number
  readonly service: number
}

export interface SustainedFigures {
  /** New HTTP connections a second, 16 at a time. */
  readonly connectionsPerSecond: Pair
  /** Gigabits a second of one TCP stream. */
  readonly gigabits: Pair
}

/** Each pair is measured twice in turn and the better of two counts, so that a disturbance hits neither side alone. */
export async function measureSustained(bed: Bed, seconds: number): Promise<SustainedFigures> {
  const { last } = probed(bed.size)
  const pod = endpointIp(bed.size, last, 0)
  return {
    connectionsPerSecond: await pair(
      async () => connections(bed, `${pod}:${PORTS.http.target}`, seconds),
      async () => connections(bed, serviceTarget(last, 'http'), seconds),
    ),
    gigabits: await pair(
      async () => throughput(bed, `${pod}:${PORTS.iperf.target}`, seconds),
      async () => throughput(bed, serviceTarget(last, 'iperf'), seconds),
    ),
  }
}

async function pair(direct: () => Promise<number>, service: () => Promise<number>): Promise<Pair> {
  const [a, b, c, d] = [await direct(), await service(), await direct(), await service()]
  return { direct: Math.max(a, c), service: Math.max(b, d) }
}

async function connections(bed: Bed, target: string, seconds: number): Promise<number> {
  const args = ['--threads', '1', '--connections', '16', '--duration', `${seconds}s`]
  const text = await run(bed, ['wrk', ...args, '--header', 'Connection: close', `http://${target}/`])
  return parseWrk(text)
}

async function throughput(bed: Bed, target: string, seconds: number): Promise<number> {
  const [ip = '', port = ''] = target.split(':')
  return parseIperf(
    await run(bed, ['iperf3', '--client', ip, '--port', port, '--time', String(seconds), '--json']),
  )
}

/** Requests a second, as wrk prints them. */
export function parseWrk(text: string): number {
  return Number(/^Requests\/sec:\s+([\d.]+)/m.exec(text)?.[1] ?? Number.NaN)
}

/** Gigabits a second that arrived. */
export function parseIperf(text: string): number {
  const { end } = JSON.parse(text) as { end?: { sum_received?: { bits_per_second?: number } } }
  return (end?.sum_received?.bits_per_second ?? Number.NaN) / 1e9
}

async function run(bed: Bed, command: readonly string[]): Promise<string> {
  const child = spawnInside(bed.client, command, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  await new Promise((resolve, reject) => {
    child.on('close', resolve)
    child.on('error', reject)
  })
  return text
}
