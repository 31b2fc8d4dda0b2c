/**
 * Sends the packets of one flow through a node bed, as often as needed, and tells what became of them.
 *
 * A flow is tried until every endpoint that is hoped for was seen, until something else was seen, or until chance
 * can no longer explain that an endpoint is missing.
 */
import { hostPort, parseIp } from '../../src/net/ip.ts'
import type { Attempt } from './node-bed-attempt.ts'
import type { NodeBed, Place } from './node-bed.ts'

export interface ProbedFlow {
  /** The namespace that sends; the link is chosen by the source address. */
  readonly place: Place
  readonly protocol: 'TCP' | 'UDP'
  readonly sourceIp: string
  readonly destIp: string
  readonly destPort: number
}

/** What is expected, as far as it decides how long and how often to try. */
export interface ProbeHopes {
  readonly kind: 'dnat' | 'reject' | 'drop' | 'none'
  /** `ip:port` or `[ip]:port`; only for `dnat`. */
  readonly endpoints: readonly string[]
  /** One client must always meet the same endpoint, whichever it is. */
  readonly sticky?: boolean
  /** Look again, with more time for everything: the machine may have been too busy. */
  readonly patient?: boolean
}

/** One thing that happened to at least one try. */
export type Sighting =
  /** The connection reached a socket at another address or port than was dialled. */
  | { readonly kind: 'dnat'; readonly endpoint: string; readonly seenIp: string; count: number }
  /** It reached a socket at the very address and port that was dialled. */
  | { readonly kind: 'none'; readonly place: Place; readonly seenIp: string; count: number }
  | { readonly kind: 'reject'; readonly code: string; count: number }
  | { readonly kind: 'drop'; count: number }
  /** The kernel refused to send (UDP of the node itself): a reject or a drop, which cannot be told apart. */
  | { readonly kind: 'not-sent'; count: number }
  /** Anything else, e.g. a connection that was reset. */
  | { readonly kind: 'odd'; readonly code: string; count: number }

const REJECTIONS = new Set(['ECONNREFUSED', 'EHOSTUNREACH', 'ENETUNREACH', 'EACCES'])

/** So long must nothing happen before a packet counts as dropped. */
const SILENCE_MS = 1200
/** An ICMP error that meets a busy socket is only noticed at the next SYN, a second later; and that one may be too. */
const PATIENCE_MS = 3600
const TRIES_PER_ENDPOINT = 25
/** A wrong endpoint that gets a third of the connections shows in so many tries, but for one case in 10,000. */
const MIN_TRIES = 25
/** Pools beyond this size are sampled: each of them is only required to be met often. */
export const SAMPLED_POOL = 60

export async function probe(bed: NodeBed, flow: ProbedFlow, hopes: ProbeHopes): Promise<readonly Sighting[]> {
  const seen = new Map<string, Sighting>()
  const patienceMs = hopes.patient === true ? 4 * PATIENCE_MS : PATIENCE_MS
  const timeoutMs = hopes.kind === 'drop' ? SILENCE_MS : patienceMs
  let done = 0
  for (const tries of rounds(hopes)) {
    const attempts = await bed.ask(flow.place, 'try', { ...flow, tries, timeoutMs })
    for (const attempt of attempts) count(seen, sightingOf(flow, attempt))
    done += tries
    if (isSettled(hopes, seen, done)) break
  }
  return [...seen.values()]
}

/** How many tries to make at once, again and again. */
function* rounds(hopes: ProbeHopes): Generator<number> {
  // Who is sticky must be remembered before the next connection comes.
  yield hopes.sticky === true ? 1 : 2
  const pool = hopes.endpoints.length
  if (hopes.kind !== 'dnat') return
  if (pool > SAMPLED_POOL) {
    yield pool
    return
  }
  if (hopes.sticky === true || pool <= 1) {
    yield 6
    return
  }
  const round = Math.max(5 * pool, MIN_TRIES)
  for (let left = pool * TRIES_PER_ENDPOINT; left > 0; left -= round) yield round
}

function isSettled(hopes: ProbeHopes, seen: ReadonlyMap<string, Sighting>, done: number): boolean {
  if (hopes.kind !== 'dnat') return true
  const sightings = [...seen.values()]
  const endpoints = new Set(sightings.flatMap((s) => (s.kind === 'dnat' ? [s.endpoint] : [])))
  const surprises = sightings.some((s) => s.kind !== 'dnat' || !hopes.endpoints.includes(s.endpoint))
  if (surprises) return true
  return (
    hopes.sticky !== true && done >= MIN_TRIES && hopes.endpoints.every((endpoint) => endpoints.has(endpoint))
  )
}

function sightingOf(flow: ProbedFlow, attempt: Attempt): Sighting {
  if (attempt.kind === 'silence') return { kind: 'drop', count: 1 }
  if (attempt.kind === 'error') {
    if (REJECTIONS.has(attempt.code)) return { kind: 'reject', code: attempt.code, count: 1 }
    if (attempt.code === 'EPERM') return { kind: 'not-sent', count: 1 }
    return { kind: 'odd', code: attempt.code, count: 1 }
  }
  const seenIp = parseIp(attempt.seenIp) ?? attempt.seenIp
  const isDialled = parseIp(attempt.ip) === parseIp(flow.destIp) && attempt.port === flow.destPort
  if (isDialled) return { kind: 'none', place: attempt.place as Place, seenIp, count: 1 }
  const ip = parseIp(attempt.ip)
  const endpoint = ip === undefined ? `${attempt.ip}:${attempt.port}` : hostPort(ip, attempt.port)
  return { kind: 'dnat', endpoint, seenIp, count: 1 }
}

function count(seen: Map<string, Sighting>, sighting: Sighting): void {
  const key = JSON.stringify(sighting)
  const known = seen.get(key)
  if (known === undefined) seen.set(key, sighting)
  else known.count++
}

/** One line for people: `2 × 10.180.0.1:80 sees 10.0.0.2, 1 × drop`. */
export function renderSightings(sightings: readonly Sighting[]): string {
  return sightings.map((sighting) => `${sighting.count} × ${renderSighting(sighting)}`).join(', ')
}

function renderSighting(sighting: Sighting): string {
  switch (sighting.kind) {
    case 'dnat':
      return `${sighting.endpoint} sees ${sighting.seenIp}`
    case 'none':
      return `untouched at the ${sighting.place === 'node' ? 'node' : 'far end'}, seen as ${sighting.seenIp}`
    case 'reject':
    case 'odd':
      return `${sighting.kind} (${sighting.code})`
    case 'drop':
    case 'not-sent':
      return sighting.kind
  }
}
