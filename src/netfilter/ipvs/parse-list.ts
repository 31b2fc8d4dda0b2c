/** Reads `ipvsadm -L -n`: how many connections each real server has, and what has come in so far. */
import { realServerKey } from './virtual-server.ts'

const VIRTUAL = /^(TCP|UDP|SCTP|FWM) +(\S+)( IPv6)? /
const REAL = /^ {2}-> (\S+) +\S+ +\d+ +(\d+) +(\d+)/
const FLAGS: Readonly<Record<string, string>> = { TCP: '-t', UDP: '-u', SCTP: '--sctp-service', FWM: '-f' }

/** Active and inactive connections together, by `RealServer.key`. */
export function parseConnectionCounts(text: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  let selector: string | undefined
  for (const line of text.split('\n')) {
    const real = selector === undefined ? null : REAL.exec(line)
    selector = selectorIn(line) ?? selector
    if (real !== null && selector !== undefined)
      counts.set(realServerKey(selector, real[1] ?? ''), Number(real[2]) + Number(real[3]))
  }
  return counts
}

const REAL_STATS = /^ {2}-> (\S+) +\d+ +(\d+) /
const VIRTUAL_STATS = /^\S+ +\S+(?: IPv6)? +\d+ +(\d+) /

/** Packets that came in, of `ipvsadm -L -n --stats --exact`, by the key of the virtual or real server. */
export function parsePacketCounts(text: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  let selector: string | undefined
  for (const line of text.split('\n')) {
    const found = selectorIn(line)
    selector = found ?? selector
    const real = REAL_STATS.exec(line)
    if (found !== undefined) counts.set(`virtual ${found}`, Number(VIRTUAL_STATS.exec(line)?.[1] ?? 0))
    else if (real !== null && selector !== undefined)
      counts.set(realServerKey(selector, real[1] ?? ''), Number(real[2]))
  }
  return counts
}

function selectorIn(line: string): string | undefined {
  const match = VIRTUAL.exec(line)
  if (match === null) return undefined
  return `${FLAGS[match[1] ?? ''] ?? ''} ${match[2] ?? ''}${match[3] === undefined ? '' : ' -6'}`
}
