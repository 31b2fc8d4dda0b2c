/** Ranges of transport ports, both ends included. */
import type { Port } from './protocol.ts'

export interface PortRange {
  readonly first: Port
  readonly last: Port
}

/** `30000-32767`; `undefined` for anything else, and for ends in the wrong order or outside 1 to 65535. */
export function parsePortRange(text: string): PortRange | undefined {
  const match = /^\s*(\d{1,5})\s*-\s*(\d{1,5})\s*$/.exec(text)
  const [first, last] = [Number(match?.[1]), Number(match?.[2])]
  return match !== null && first >= 1 && first <= last && last <= 65_535 ? { first, last } : undefined
}

export function formatPortRange({ first, last }: PortRange): string {
  return `${first}-${last}`
}
