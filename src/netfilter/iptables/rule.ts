/** The parts of rule specifications, as `iptables-save` would print them. */
import { type Cidr, networkOf } from '../../net/cidr.ts'
import { type Family, type Ip, hostPort } from '../../net/ip.ts'
import { formatPortRange } from '../../net/port-range.ts'
import type { Port, Protocol } from '../../net/protocol.ts'
import { type MasqueradePorts, UNPRIVILEGED } from '../masquerade-ports.ts'

/** `-p tcp -m tcp --dport 80`, or a range `--dport 80:90`. */
export function matchPort(protocol: Protocol, first: Port, last: Port = first): string {
  const name = protocol.toLowerCase()
  const ports = first === last ? String(first) : `${first}:${last}`
  return `-p ${name} -m ${name} --dport ${ports}`
}

/** `-d 172.30.0.1/32`. */
export function matchDestination(ip: Ip, bits = ip.includes(':') ? 128 : 32): string {
  return `-d ${networkOf(ip, bits)}`
}

/** `-s 10.0.0.0/8`. */
export function matchSource(cidr: Cidr): string {
  return `-s ${cidr}`
}

/** `-m statistic --mode random --probability 0.25000000000`: finer than the kernel's 1/2³¹. */
export function matchRandom(probability: number): string {
  return `-m statistic --mode random --probability ${probability.toFixed(11)}`
}

/** `-j DNAT --to-destination 10.0.0.1:80`; without a port the packet keeps the one it has. */
export function dnat(ip: Ip, port: Port | undefined): string {
  return `-j DNAT --to-destination ${port === undefined ? ip : hostPort(ip, port)}`
}

/** `0x4000/0x4000`: a bit is always matched and set with a mask, so that all others stay as they are. */
export function markMask(mark: number): string {
  const hex = `0x${mark.toString(16)}`
  return `${hex}/${hex}`
}

/** Not from loopback and not to it, in the words of each family. */
export function loopback(family: Family): Cidr {
  return (family === 'IPv4' ? '127.0.0.0/8' : '::1/128') as Cidr
}

/** Joins the parts that are there. */
export function rule(...parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part !== undefined && part !== '').join(' ')
}

/**
 * `-j MASQUERADE --random-fully`, before it rules for TCP and UDP with ports of these ranges. SCTP may get any port: a
 * kernel without it would refuse the rule, and with it all others.
 */
export function masqueradeRules(ranges: readonly MasqueradePorts[]): readonly string[] {
  const from = `--sport ${UNPRIVILEGED.first}:${UNPRIVILEGED.last}`
  const chosen = (['tcp', 'udp'] as const).flatMap((protocol) =>
    ranges.map((range) =>
      rule(
        `-p ${protocol} -m ${protocol} ${from}`,
        range.probability < 1 ? matchRandom(range.probability) : undefined,
        `-j MASQUERADE --to-ports ${formatPortRange(range)} --random-fully`,
      ),
    ),
  )
  return [...chosen, '-j MASQUERADE --random-fully']
}
