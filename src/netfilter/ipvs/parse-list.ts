/** Reads `ipvsadm -L -n`: how many connections each real server has. */
import { realServerKey } from './virtual-server.ts'

const VIRTUAL = /^(TCP|UDP|SCTP|FWM) +(\S+)( IPv6)? /
const REAL = /^ {2}-> (\S+) +\S+ +\d+ +(\d+) +(\d+)/
const FLAGS: Readonly<Record<string, string>> = { TCP: '-t', UDP: '-u', SCTP: '--sctp-service', FWM: '-f' }

/** Active and inactive connections together, by `RealServer.key`. */
export function parseConnectionCounts(text: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  let selector: string | undefined
  for (const line of text.split('\n')) {
    const virtual = VIRTUAL.exec(line)
    const real = selector === undefined ? null : REAL.exec(line)
    if (virtual !== null)
      selector = `${FLAGS[virtual[1] ?? ''] ?? ''} ${virtual[2] ?? ''}${virtual[3] === undefined ? '' : ' -6'}`
    else if (real !== null && selector !== undefined)
      counts.set(realServerKey(selector, real[1] ?? ''), Number(real[2]) + Number(real[3]))
  }
  return counts
}
