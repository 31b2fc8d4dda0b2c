/**
 * Commands of `ipvsadm --restore` as generic netlink messages (linux/ip_vs.h). All numbers are in the byte order of
 * the machine except ports, which are in network order.
 */
import { type Family, familyOf, ipBytes, parseIp } from '../../net/ip.ts'
import type { Protocol } from '../../net/protocol.ts'
import { attribute, join, nested, networkU16, text, u16, u32 } from '../netlink-attribute.ts'
import type { ServerCommand } from './command.ts'
import { type RealServer, type VirtualServer, readSelector } from './virtual-server.ts'

export const IPVS_VERSION = 1
const COMMANDS = {
  'virtual-server': { add: 1, edit: 2, delete: 3 },
  'real-server': { add: 5, edit: 6, delete: 7 },
} as const
export const GET_SERVICE = 4
export const GET_DESTINATIONS = 8
/** Attributes of every command. */
const SERVICE = 1
export const DESTINATION = 2
/** Attributes of a destination that are read back. */
export const DESTINATION_ATTRIBUTES = { address: 1, port: 2, active: 7, inactive: 8, family: 11 } as const

const PROTOCOL_NUMBERS: Readonly<Record<Protocol, number>> = { TCP: 6, UDP: 17, SCTP: 132 }
const FAMILY_NUMBERS: Readonly<Record<Family, number>> = { IPv4: 2, IPv6: 10 }

const PERSISTENT = 0x01
const SCHEDULER_FLAGS: Readonly<Record<string, number>> = {
  'sh-fallback': 0x08,
  'mh-fallback': 0x08,
  'sh-port': 0x10,
  'mh-port': 0x10,
}

/** Number of the command and its attributes; `undefined` for what cannot be said this way. */
export function encodeCommand(
  command: ServerCommand,
): { readonly number: number; readonly attributes: Uint8Array } | undefined {
  const { server, verb } = command
  const service = encodeService(server, verb)
  if (service === undefined) return undefined
  const number = COMMANDS[server.kind][verb]
  if (server.kind === 'virtual-server') return { number, attributes: nested(SERVICE, service) }
  const destination = encodeDestination(server, verb)
  return (
    destination && { number, attributes: join([nested(SERVICE, service), nested(DESTINATION, destination)]) }
  )
}

/** The attribute that names a service, for asking about it. */
export function encodeSelector(selector: string): Uint8Array | undefined {
  const identity = encodeIdentity(selector)
  return identity && nested(SERVICE, identity)
}

function encodeService(
  server: VirtualServer | RealServer,
  verb: ServerCommand['verb'],
): readonly Uint8Array[] | undefined {
  const identity = encodeIdentity(server.selector)
  if (identity === undefined || server.kind === 'real-server' || verb === 'delete') return identity
  const choices = readChoices(server.text)
  if (choices === undefined) return undefined
  const isIpv6 = server.selector.includes('[') || server.selector.endsWith(' -6')
  return [
    ...identity,
    attribute(6, text(choices.scheduler)),
    attribute(7, join([u32(choices.flags), u32(0xffffffff)])),
    attribute(8, u32(choices.persistentSeconds)),
    attribute(9, isIpv6 ? u32(128) : u32(0xffffffff)),
  ]
}

function encodeIdentity(selector: string): readonly Uint8Array[] | undefined {
  const where = readSelector(selector)
  if (where === undefined) return undefined
  if ('mark' in where) return [attribute(1, u16(FAMILY_NUMBERS[where.family])), attribute(5, u32(where.mark))]
  return [
    attribute(1, u16(FAMILY_NUMBERS[familyOf(where.ip)])),
    attribute(2, u16(PROTOCOL_NUMBERS[where.protocol])),
    attribute(3, address(ipBytes(where.ip))),
    attribute(4, networkU16(where.port)),
  ]
}

/** `-s mh -p 10800 -b mh-port`; `undefined` when there is more. */
function readChoices(options: string) {
  const match = /^-s (\S+)(?: -p (\d+))?(?: -b (\S+))?$/.exec(options)
  if (match?.[1] === undefined) return undefined
  let flags = match[2] === undefined ? 0 : PERSISTENT
  for (const name of match[3]?.split(',') ?? []) {
    const flag = SCHEDULER_FLAGS[name]
    if (flag === undefined) return undefined
    flags |= flag
  }
  return { scheduler: match[1], persistentSeconds: Number(match[2] ?? 0), flags }
}

function encodeDestination(
  server: RealServer,
  verb: ServerCommand['verb'],
): readonly Uint8Array[] | undefined {
  const match = /^\[?([^\]]+)\]?:(\d+)$/.exec(server.server)
  const ip = match?.[1] === undefined ? undefined : parseIp(match[1])
  if (ip === undefined) return undefined
  const identity = [
    attribute(1, address(ipBytes(ip))),
    attribute(2, networkU16(Number(match?.[2]))),
    attribute(11, u16(FAMILY_NUMBERS[familyOf(ip)])),
  ]
  if (verb === 'delete') return identity
  const weight = /^-m -w (\d+)$/.exec(server.text)?.[1]
  if (weight === undefined) return undefined
  // Forwarding method 0 is NAT; no thresholds.
  return [
    ...identity,
    attribute(3, u32(0)),
    attribute(4, u32(Number(weight))),
    attribute(5, u32(0)),
    attribute(6, u32(0)),
  ]
}

/** A union of both kinds of address: sixteen bytes either way. */
function address(bytes: readonly number[]): Uint8Array {
  const value = new Uint8Array(16)
  value.set(bytes)
  return value
}
