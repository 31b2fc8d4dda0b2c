import { isIP } from 'node:net'

/** An IP address in canonical text: dotted decimal, or RFC 5952 for IPv6. Two equal addresses have equal text. */
export type Ip = string & { readonly __brand: 'Ip' }

export type Family = 'IPv4' | 'IPv6'
export const FAMILIES: readonly Family[] = ['IPv4', 'IPv6']

export function familyOf(ip: Ip): Family {
  return ip.includes(':') ? 'IPv6' : 'IPv4'
}

/**
 * Reads an address leniently, as the Kubernetes API does for old objects: leading zeros of an IPv4 octet are allowed
 * and read as decimal (`172.30.0.041` is `172.30.0.41`). IPv4-mapped IPv6 becomes IPv4. `undefined` for anything
 * that is not an address.
 */
export function parseIp(text: string): Ip | undefined {
  if (!text.includes(':')) return parseIpv4(text)
  if (isIP(text) !== 6 || text.includes('%')) return undefined
  const bytes = ipv6Bytes(text)
  if (bytes.slice(0, 10).every((b) => b === 0) && bytes[10] === 0xff && bytes[11] === 0xff)
    return bytes.slice(12).join('.') as Ip
  return formatIpv6(bytes)
}

/** The address as 4 or 16 bytes in network order. */
export function ipBytes(ip: Ip): readonly number[] {
  return ip.includes(':') ? ipv6Bytes(ip) : ip.split('.').map(Number)
}

/** The canonical text of 4 or 16 bytes. */
export function ipFromBytes(bytes: readonly number[]): Ip {
  return bytes.length === 4 ? (bytes.join('.') as Ip) : formatIpv6(bytes)
}

/** `10.0.0.1:80`, or `[fd00::1]:80`. */
export function hostPort(ip: Ip, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`
}

function parseIpv4(text: string): Ip | undefined {
  const parts = text.split('.')
  if (parts.length !== 4) return undefined
  const octets: number[] = []
  for (const part of parts) {
    if (!/^\d{1,4}$/.test(part)) return undefined
    const value = Number.parseInt(part, 10)
    if (value > 255) return undefined
    octets.push(value)
  }
  return octets.join('.') as Ip
}

function ipv6Bytes(text: string): number[] {
  const [head = '', tail] = text.split('::')
  const front = ipv6Groups(head)
  const back = tail === undefined ? [] : ipv6Groups(tail)
  const zeros = new Array<number>(Math.max(0, 16 - front.length - back.length)).fill(0)
  return [...front, ...zeros, ...back]
}

function ipv6Groups(text: string): number[] {
  if (text === '') return []
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number)
    const value = Number.parseInt(group, 16)
    return [value >> 8, value & 0xff]
  })
}

/** RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
function formatIpv6(bytes: readonly number[]): Ip {
  const groups: number[] = []
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0))
  let best = { start: -1, length: 1 }
  for (let start = 0; start < 8; start++) {
    let end = start
    while (end < 8 && groups[end] === 0) end++
    if (end - start > best.length) best = { start, length: end - start }
  }
  const hex = groups.map((group) => group.toString(16))
  if (best.start < 0) return hex.join(':') as Ip
  return `${hex.slice(0, best.start).join(':')}::${hex.slice(best.start + best.length).join(':')}` as Ip
}
