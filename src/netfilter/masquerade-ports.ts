/**
 * Which source ports a masqueraded connection may get. Ports on which this host is asked for something are not among
 * them: replies would arrive where questions are expected. Ports below 1024 are left as the kernel chooses them, which
 * keeps them below 1024: servers such as NFS trust nobody else.
 */
import type { PortRange } from '../net/port-range.ts'

/** Clients that begin at such a port get another one of these. */
export const UNPRIVILEGED: PortRange = { first: 1024, last: 65_535 }

export interface MasqueradePorts extends PortRange {
  /** The part of the connections that the ranges before left over which get a port of this range. */
  readonly probability: number
}

/** In this order, the last one with the probability 1; none: any port will do. */
export function masqueradePorts(reserved: PortRange | undefined): readonly MasqueradePorts[] {
  if (reserved === undefined) return []
  const ranges = [
    { first: UNPRIVILEGED.first, last: Math.min(reserved.first - 1, UNPRIVILEGED.last) },
    { first: Math.max(reserved.last + 1, UNPRIVILEGED.first), last: UNPRIVILEGED.last },
  ].filter(({ first, last }) => first <= last)
  const total = ranges.reduce((sum, range) => sum + sizeOf(range), 0)
  return ranges.map((range, index) => {
    const isLast = index === ranges.length - 1
    return { ...range, probability: isLast ? 1 : sizeOf(range) / total }
  })
}

function sizeOf({ first, last }: PortRange): number {
  return last - first + 1
}
