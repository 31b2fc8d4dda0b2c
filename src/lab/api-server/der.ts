/** The few ASN.1 types that a certificate consists of, in DER (ITU-T X.690). */

function tagged(tag: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag]), lengthBytes(content.length), content])
}

function lengthBytes(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  const bytes: number[] = []
  for (let rest = length; rest > 0; rest >>>= 8) bytes.unshift(rest & 0xff)
  return Buffer.from([0x80 | bytes.length, ...bytes])
}

export function sequence(...items: readonly Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(items))
}

export function set(...items: readonly Buffer[]): Buffer {
  return tagged(0x31, Buffer.concat(items))
}

/** A non-negative integer from its bytes, most significant first. */
export function integer(bytes: Buffer): Buffer {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const digits = bytes.subarray(start)
  const needsSign = ((digits[0] ?? 0) & 0x80) !== 0
  return tagged(0x02, needsSign ? Buffer.concat([Buffer.from([0]), digits]) : digits)
}

/** An object identifier from its dotted text. */
export function objectIdentifier(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const arc of rest) {
    const groups = [arc & 0x7f]
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return tagged(0x06, Buffer.from(bytes))
}

export function utf8String(text: string): Buffer {
  return tagged(0x0c, Buffer.from(text))
}

/** A point in time in whole seconds: UTCTime until 2049, GeneralizedTime from 2050 on, as RFC 5280 4.1.2.5 demands. */
export function time(ms: number): Buffer {
  const date = new Date(ms)
  const text = `${date.toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`
  return date.getUTCFullYear() < 2050
    ? tagged(0x17, Buffer.from(text.slice(2)))
    : tagged(0x18, Buffer.from(text))
}

export const TRUE: Buffer = tagged(0x01, Buffer.from([0xff]))

export function octetString(content: Buffer): Buffer {
  return tagged(0x04, content)
}

/** A bit string; `unusedBits` of its last byte do not count. */
export function bitString(content: Buffer, unusedBits = 0): Buffer {
  return tagged(0x03, Buffer.concat([Buffer.from([unusedBits]), content]))
}

/** A context-specific tag around other types (EXPLICIT). */
export function explicit(number: number, content: Buffer): Buffer {
  return tagged(0xa0 | number, content)
}

/** A context-specific tag in place of a primitive type's own (IMPLICIT). */
export function implicit(number: number, content: Buffer): Buffer {
  return tagged(0x80 | number, content)
}
