/** What can go of the IPVS mode when another mode answers already, and what open connections still need. Pure. */
import { readSelector } from '../../netfilter/ipvs/virtual-server.ts'
import type { IpvsObject } from './plan-port.ts'

export interface Leaving {
  readonly removed: readonly IpvsObject[]
  /** Virtual servers that stay for now. */
  readonly waiting: number
}

/**
 * New connections are translated before IPVS sees them. Open ones need their virtual server, and its address must stay
 * local. The sets are the record of what is ours, so they go last. `open`: connections by key of real server.
 */
export function leavingObjects(objects: readonly IpvsObject[], open: ReadonlyMap<string, number>): Leaving {
  const busyServers = [...open].flatMap(([key, count]) => (count > 0 ? [key] : []))
  const busy = new Set(
    objects.flatMap((object) =>
      object.kind === 'virtual-server' &&
      busyServers.some((key) => key.startsWith(`real ${object.selector} `))
        ? [object.selector]
        : [],
    ),
  )
  const isNeeded = addressesOf(busy)
  const removed = objects.filter((object) => {
    if ('selector' in object) return !busy.has(object.selector)
    if ('ip' in object) return !isNeeded(object.ip)
    return busy.size === 0 && (object.kind === 'set' || object.kind === 'element')
  })
  return { removed, waiting: busy.size }
}

/** A mark does not tell which addresses it stands for. */
function addressesOf(selectors: ReadonlySet<string>): (ip: string) => boolean {
  const places = [...selectors].map(readSelector)
  if (places.some((place) => place !== undefined && 'mark' in place)) return () => true
  const ips = new Set<string>(places.flatMap((place) => (place && 'ip' in place ? [place.ip] : [])))
  return (ip) => ips.has(ip)
}
