/**
 * IPVS nouns in ipvsadm's words. A virtual server is known by its selector: `-t 10.0.0.1:80`, `-u [fd00::1]:53`,
 * `--sctp-service 10.0.0.1:9`, or `-f 3` (`-f 3 -6`) for packets with the mark 3.
 */
import { type Family, type Ip, hostPort, parseIp } from '../../net/ip.ts'
import type { Port, Protocol } from '../../net/protocol.ts'

export interface VirtualServer {
  readonly kind: 'virtual-server'
  readonly key: string
  /** Scheduler, persistence and flags as `ipvsadm --save` prints them: `-s mh -p 10800 -b mh-fallback,mh-port`. */
  readonly text: string
  readonly selector: string
}

export interface RealServer {
  readonly kind: 'real-server'
  readonly key: string
  /** `-m -w 1`: masquerading (that is, NAT) and the weight; 0 takes no new connections. */
  readonly text: string
  readonly selector: string
  /** `10.2.0.1:8080`; port 0 behind a mark: the port that the client dialled. */
  readonly server: string
  /**
   * How long open connections may go on when this server is taken out; 0: not at all, `undefined`: as long as the
   * backend usually allows. It is not in the kernel, so it is no part of `text`.
   */
  readonly drainSeconds: number | undefined
}

export type IpvsServer = VirtualServer | RealServer

export interface VirtualServerChoices {
  /** A scheduler's name, or `sh-port` and `mh-port` for hashing the client's port as well. */
  readonly scheduler: string
  /** Seconds for which a client stays with its server; `undefined`: no persistence. */
  readonly persistentSeconds: number | undefined
}

export const DRAINED_WEIGHT = 0
const HASHES: ReadonlySet<string> = new Set(['sh', 'mh'])

const FLAGS: Readonly<Record<Protocol, string>> = { TCP: '-t', UDP: '-u', SCTP: '--sctp-service' }

export function addressSelector(protocol: Protocol, ip: Ip, port: Port): string {
  return `${FLAGS[protocol]} ${hostPort(ip, port)}`
}

export function markSelector(mark: number, family: Family): string {
  return family === 'IPv4' ? `-f ${mark}` : `-f ${mark} -6`
}

/** What a selector selects; `undefined` for text that is no selector of ours. */
export function readSelector(
  selector: string,
):
  | { readonly mark: number; readonly family: Family }
  | { readonly protocol: Protocol; readonly ip: Ip; readonly port: Port }
  | undefined {
  const [flag = '', where = '', six] = selector.split(' ')
  if (flag === '-f') return { mark: Number(where), family: six === '-6' ? 'IPv6' : 'IPv4' }
  const protocol = (Object.keys(FLAGS) as Protocol[]).find((name) => FLAGS[name] === flag)
  const match = /^\[?([^\]]+)\]?:(\d+)$/.exec(where)
  const ip = match?.[1] === undefined ? undefined : parseIp(match[1])
  if (protocol === undefined || ip === undefined) return undefined
  return { protocol, ip, port: Number(match?.[2]) }
}

/** The family of a selector. */
export function selectorFamily(selector: string): Family {
  return selector.includes('[') || selector.endsWith(' -6') ? 'IPv6' : 'IPv4'
}

export function virtualServer(selector: string, choices: VirtualServerChoices): VirtualServer {
  const [scheduler = '', hashesPort] = choices.scheduler.split('-')
  const persistence = choices.persistentSeconds === undefined ? '' : ` -p ${choices.persistentSeconds}`
  const flags = [
    // A hash still points to a server of weight 0, and without this the kernel refuses those whom it sends there.
    ...(HASHES.has(scheduler) ? [`${scheduler}-fallback`] : []),
    ...(hashesPort === undefined ? [] : [`${scheduler}-port`]),
  ]
  const options = flags.length === 0 ? '' : ` -b ${flags.join(',')}`
  return virtualServerAs(selector, `-s ${scheduler}${persistence}${options}`)
}

/** With everything behind the selector already in ipvsadm's words. */
export function virtualServerAs(selector: string, text: string): VirtualServer {
  return { kind: 'virtual-server', key: `virtual ${selector}`, text, selector }
}

export function realServer(
  selector: string,
  server: string,
  choices: { readonly weight: number; readonly drainSeconds: number | undefined },
): RealServer {
  return {
    kind: 'real-server',
    key: realServerKey(selector, server),
    text: `-m -w ${choices.weight}`,
    selector,
    server,
    drainSeconds: choices.drainSeconds,
  }
}

export function realServerKey(selector: string, server: string): string {
  return `real ${selector} ${server}`
}

/** Whether a server takes no new connections. */
export function isDrained(server: RealServer): boolean {
  return server.text.endsWith(` -w ${DRAINED_WEIGHT}`)
}
