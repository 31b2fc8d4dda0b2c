/**
 * What the annotations `fairlead.io/…` of a Service ask for. Every annotation stands alone: a bad one is refused and
 * treated as absent, and the others hold. docs/forwarding.md lists them for users.
 */
import { parseIp } from '../net/ip.ts'
import { type PortRange, parsePortRange } from '../net/port-range.ts'
import { asObject, isAbsent, type JsonObject } from './json-object.ts'
import { isName, type Refusals } from './refusals.ts'
import type { EndpointRemoval, ServiceWishes } from './service-port.ts'

export const NO_WISHES: ServiceWishes = {
  ipvsScheduler: undefined,
  algorithm: undefined,
  slowStartSeconds: undefined,
  onEndpointRemoval: { action: 'default' },
  sourceRangesOnNodePort: false,
  portRange: undefined,
  weights: {},
}

/** Wishes of a whole Service; `portRanges` still have to find their port, and `ipMode` overrides the status. */
export interface AnnotationWishes {
  readonly wishes: Omit<ServiceWishes, 'portRange'>
  readonly portRanges: readonly PortRange[]
  readonly ipMode: 'VIP' | 'Proxy' | undefined
}

const PREFIX = 'fairlead.io/'
/** Annotations can be 256 KiB each; nothing that we understand is that long. */
const LONGEST_VALUE = 4096
const LONGEST_DURATION_SECONDS = 86_400
const LARGEST_WEIGHT = 1000

const NO_ANNOTATIONS: AnnotationWishes = { wishes: NO_WISHES, portRanges: [], ipMode: undefined }

export function decodeWishes(metadata: JsonObject, refusals: Refusals): AnnotationWishes {
  const annotations = asObject(metadata['annotations'])
  const known = KNOWN.filter((name) => !isAbsent(annotations[`${PREFIX}${name}`]))
  if (known.length === 0) return NO_ANNOTATIONS
  const read = <T>(
    name: (typeof KNOWN)[number],
    parse: (text: string) => T | undefined,
    want: string,
  ): T | undefined => {
    const value = annotations[`${PREFIX}${name}`]
    if (isAbsent(value)) return undefined
    const short = typeof value === 'string' && value.length <= LONGEST_VALUE
    const parsed = short ? parse(value.trim()) : undefined
    if (parsed === undefined)
      refusals.refuse(
        `metadata.annotations[${PREFIX}${name}]`,
        value,
        `is not ${want}; the annotation is ignored`,
      )
    return parsed
  }
  return {
    wishes: {
      ipvsScheduler: read('ipvs-scheduler', parseScheduler, 'the name of an IPVS scheduler, such as "wlc"'),
      algorithm: read('algorithm', parseAlgorithm, '"random", "source-hash" or "least-connection"'),
      slowStartSeconds: read('slow-start', parseSeconds, 'a duration of 1 s to 24 h, such as "30s"'),
      onEndpointRemoval:
        read('on-endpoint-removal', parseRemoval, '"drain", "drain=30s" or "reset"') ??
        NO_WISHES.onEndpointRemoval,
      sourceRangesOnNodePort: read('source-ranges-on-nodeport', parseBoolean, '"true" or "false"') ?? false,
      weights:
        read(
          'weights',
          parseWeights,
          `a list such as "10.0.0.5=50, node-a=200" with weights of 1 to ${LARGEST_WEIGHT}`,
        ) ?? NO_WISHES.weights,
    },
    portRanges: read('port-range', parsePortRanges, 'a list of ranges such as "10000-20000"') ?? [],
    ipMode: read('ip-mode', parseIpMode, '"vip" or "proxy"'),
  }
}

const KNOWN = [
  'ipvs-scheduler',
  'algorithm',
  'slow-start',
  'on-endpoint-removal',
  'source-ranges-on-nodeport',
  'port-range',
  'ip-mode',
  'weights',
] as const

/** A module name of the kernel without `ip_vs_`; whether this kernel has it only the backend can know. */
function parseScheduler(text: string): string | undefined {
  return /^[a-z0-9_]{1,16}$/.test(text) ? text : undefined
}

function parseAlgorithm(text: string): ServiceWishes['algorithm'] {
  return text === 'random' || text === 'source-hash' || text === 'least-connection' ? text : undefined
}

function parseBoolean(text: string): boolean | undefined {
  return text === 'true' ? true : text === 'false' ? false : undefined
}

function parseIpMode(text: string): AnnotationWishes['ipMode'] {
  const lower = text.toLowerCase()
  return lower === 'vip' ? 'VIP' : lower === 'proxy' ? 'Proxy' : undefined
}

function parseRemoval(text: string): EndpointRemoval | undefined {
  if (text === 'reset') return { action: 'reset' }
  if (text === 'drain') return { action: 'drain', seconds: undefined }
  const seconds = text.startsWith('drain=') ? parseSeconds(text.slice('drain='.length)) : undefined
  return seconds === undefined ? undefined : { action: 'drain', seconds }
}

/** Hours, minutes and seconds as in Go (`1h30m`, `90s`), whole seconds. */
function parseSeconds(text: string): number | undefined {
  const match = /^(?:(\d{1,5})h)?(?:(\d{1,5})m)?(?:(\d{1,5})s)?$/.exec(text)
  if (match === null) return undefined
  const [hours, minutes, seconds] = [match[1], match[2], match[3]].map((part) => Number(part ?? 0))
  const total = (hours ?? 0) * 3600 + (minutes ?? 0) * 60 + (seconds ?? 0)
  return total >= 1 && total <= LONGEST_DURATION_SECONDS ? total : undefined
}

function parsePortRanges(text: string): AnnotationWishes['portRanges'] | undefined {
  const ranges: PortRange[] = []
  for (const part of text.split(',')) {
    const range = parsePortRange(part)
    if (range === undefined || range.first === range.last) return undefined
    ranges.push(range)
  }
  ranges.sort((a, b) => a.first - b.first)
  return ranges.some((range, i) => range.first <= (ranges[i - 1]?.last ?? 0)) ? undefined : ranges
}

function parseWeights(text: string): ServiceWishes['weights'] | undefined {
  const weights = new Map<string, number>()
  for (const part of text.split(',')) {
    const match = /^\s*([^\s=]{1,253})\s*=\s*(\d{1,4})\s*$/.exec(part)
    const weight = Number(match?.[2])
    const who = match?.[1] === undefined ? undefined : (parseIp(match[1]) ?? match[1])
    if (who === undefined || weight < 1 || weight > LARGEST_WEIGHT) return undefined
    if (!isName(who) && parseIp(who) === undefined) return undefined
    weights.set(who, weight)
  }
  // Sorted, so that the same wish written in another order is the same value.
  return Object.fromEntries([...weights].sort(([a], [b]) => (a < b ? -1 : 1)))
}
