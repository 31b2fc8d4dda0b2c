import { type Family, type Ip, familyOf, ipBytes, ipFromBytes, parseIp } from './ip.ts'

/** A network in canonical text `address/length`, host bits zero. Two equal networks have equal text. */
export type Cidr = string & { readonly __brand: 'Cidr' }

/** Reads `address/length` leniently (host bits are cleared); `undefined` for anything else. */
export function parseCidr(text: string): Cidr | undefined {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text)
  const ip = match?.[1] === undefined ? undefined : parseIp(match[1])
  if (match === null || ip === undefined) return undefined
  const length = Number(match[2])
  const bytes = ipBytes(ip)
  if (length > bytes.length * 8) return undefined
  return `${ipFromBytes(bytes.map((byte, i) => byte & maskByte(length, i)))}/${length}` as Cidr
}

export function cidrFamily(cidr: Cidr): Family {
  return cidr.includes(':') ? 'IPv6' : 'IPv4'
}

export function prefixLength(cidr: Cidr): number {
  return Number(cidr.slice(cidr.indexOf('/') + 1))
}

export function networkAddress(cidr: Cidr): Ip {
  return cidr.slice(0, cidr.indexOf('/')) as Ip
}

/** The network of exactly this address: `/32` or `/128`. */
export function hostCidr(ip: Ip): Cidr {
  return `${ip}/${familyOf(ip) === 'IPv4' ? 32 : 128}` as Cidr
}

/** The network of `length` bits around an address. */
export function networkOf(ip: Ip, length: number): Cidr {
  return `${ipFromBytes(ipBytes(ip).map((byte, i) => byte & maskByte(length, i)))}/${length}` as Cidr
}

export function cidrContains(cidr: Cidr, ip: Ip): boolean {
  if (cidrFamily(cidr) !== familyOf(ip)) return false
  return networkOf(ip, prefixLength(cidr)) === cidr
}

function maskByte(length: number, index: number): number {
  const bits = Math.min(8, Math.max(0, length - index * 8))
  return (0xff << (8 - bits)) & 0xff
}
