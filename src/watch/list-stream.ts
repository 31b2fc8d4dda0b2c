/**
 * Bytes of a list → its objects, each as soon as it is complete. Pure.
 *
 * A server may answer a list whole although a page was asked for: tens of megabytes for 10,000 EndpointSlices.
 * `JSON.parse` of all that needs the bytes, the text and the values at the same time. So the bytes are scanned for
 * the elements of the top-level array `items`, which are parsed one by one; the rest (the envelope) is small and is
 * parsed at the end, which also proves that the answer was complete.
 */
import { isUtf8 } from 'node:buffer'
import { asRecord, stringAt } from './json-value.ts'
import { WatchError } from './watch-error.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
/** Comma, space, tab, newline, carriage return: what may stand between two items. */
const BETWEEN_ITEMS: readonly number[] = [0x2c, 0x20, 0x09, 0x0a, 0x0d]

export interface ListEnvelope {
  readonly resourceVersion: string
  /** Token for the next page; `undefined` on the last one. */
  readonly continueToken: string | undefined
}

/** Reads one answer to a list request. */
export class ListScanner {
  #depth = 0
  #inString = false
  #escaped = false
  #inItems = false
  /** Pieces of the item (depth ≥ 3) or of the envelope that earlier chunks began. */
  #item: Buffer[] = []
  #envelope: Buffer[] = []

  /** The objects that this chunk completes, in order. Throws `protocol`. */
  push(chunk: Buffer): unknown[] {
    const objects: unknown[] = []
    // Bytes from `from` on belong to the item or to the envelope, whichever we are in.
    let from = 0
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0
      if (this.#inString) {
        this.#stepInString(byte)
      } else if (byte === QUOTE) {
        this.#expectNoItem()
        this.#inString = true
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        from = this.#open(chunk, { at, from })
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        from = this.#close(chunk, { at, from }, objects)
      } else if (this.#inItems && this.#depth === 2 && !BETWEEN_ITEMS.includes(byte)) {
        throw broken('an item is not an object')
      }
    }
    this.#keep(chunk.subarray(from))
    return objects
  }

  /** To be called at the end of the answer. Throws `protocol` when it was not a complete list. */
  end(): ListEnvelope {
    if (this.#depth !== 0 || this.#envelope.length === 0) throw broken('the answer ended too early')
    const envelope = asRecord(parse(Buffer.concat(this.#envelope)))
    const resourceVersion = stringAt(envelope, 'metadata', 'resourceVersion')
    if (envelope === undefined || resourceVersion === undefined) throw broken('it has no resourceVersion')
    if (!('items' in envelope)) throw broken('it has no items')
    return { resourceVersion, continueToken: stringAt(envelope, 'metadata', 'continue') }
  }

  #stepInString(byte: number): void {
    if (this.#escaped) this.#escaped = false
    else if (byte === BACKSLASH) this.#escaped = true
    else if (byte === QUOTE) this.#inString = false
  }

  #open(chunk: Buffer, place: { readonly at: number; readonly from: number }): number {
    this.#depth++
    const opensArray = chunk[place.at] === OPEN_BRACKET
    if (this.#inItems) {
      if (this.#depth !== 3) return place.from
      if (opensArray) throw broken('an item is not an object')
      return place.at
    }
    if (!opensArray || this.#depth !== 2) return place.from
    this.#envelope.push(Buffer.from(chunk.subarray(place.from, place.at + 1)))
    this.#inItems = /"items"\s*:\s*\[$/.test(Buffer.concat(this.#envelope).toString('latin1'))
    return place.at + 1
  }

  #close(chunk: Buffer, place: { readonly at: number; readonly from: number }, objects: unknown[]): number {
    this.#depth--
    if (this.#depth < 0) throw broken('it is not JSON')
    if (!this.#inItems || this.#depth > 2) return place.from
    if (this.#depth === 1) {
      this.#inItems = false
      return place.at
    }
    objects.push(parse(Buffer.concat([...this.#item, chunk.subarray(place.from, place.at + 1)])))
    this.#item = []
    return place.at + 1
  }

  /** Chunks are the socket's memory: what outlives them is copied, so that a short rest does not hold 64 kB. */
  #keep(rest: Buffer): void {
    if (rest.length === 0) return
    if (!this.#inItems) this.#envelope.push(Buffer.from(rest))
    else if (this.#depth >= 3) this.#item.push(Buffer.from(rest))
  }

  #expectNoItem(): void {
    if (this.#inItems && this.#depth === 2) throw broken('an item is not an object')
  }
}

function parse(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw broken('it is not UTF-8')
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown
  } catch (error) {
    throw broken('it is not JSON', error)
  }
}

function broken(what: string, cause?: unknown): WatchError {
  return new WatchError(`Cannot read the list: ${what}; it is listed anew`, { code: 'protocol', cause })
}
