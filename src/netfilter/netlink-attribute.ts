/**
 * Attributes of netlink messages (linux/netlink.h), and the values that stand in them. Numbers are in the byte order of
 * the machine, which is little-endian on every architecture that we run on, or in network order where the name says so.
 */
const NESTED = 0x8000

/** Length and type, then the value, filled up to four bytes. */
export function attribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array((4 + value.length + 3) & ~3)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 4 + value.length, true)
  view.setUint16(2, type, true)
  bytes.set(value, 4)
  return bytes
}

export function nested(type: number, attributes: readonly Uint8Array[]): Uint8Array {
  return attribute(type | NESTED, join(attributes))
}

export function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8)
}

export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}

/** In network order, as ports are. */
export function networkU16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff)
}

/** In network order; negative numbers as their two's complement. */
export function networkU32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

/** With the zero at its end. */
export function text(value: string): Uint8Array {
  return new TextEncoder().encode(`${value}\0`)
}
