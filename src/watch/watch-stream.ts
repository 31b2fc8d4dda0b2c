/**
 * Bytes of a watch → frames. Pure: no connection, no clock. A watch is a stream of JSON objects, one a line; chunks
 * end anywhere, also within a character.
 */
import { isUtf8 } from 'node:buffer'
import { asRecord, stringAt, valueAt } from './json-value.ts'
import { printable, WatchError } from './watch-error.ts'

/** Far above what etcd stores for one object (1.5 MB); a line that grows beyond it is not a watch. */
const LONGEST_FRAME = 16 * 1024 * 1024

const NEWLINE = 10

/** One event of a watch. */
export type WatchFrame =
  | {
      readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
      readonly object: unknown
      readonly resourceVersion: string
    }
  /** Everything up to this version was told; `initialEventsEnd` closes the list that a streaming watch begins with. */
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string; readonly initialEventsEnd: boolean }
  /** The server ends the watch; `status` is a Status object. */
  | { readonly type: 'ERROR'; readonly status: unknown }

/** Cuts a stream of bytes into lines. Holds only the line that is not yet complete. */
export class FrameSplitter {
  #pending: Buffer[] = []
  #pendingBytes = 0

  /** The lines that this chunk completes, in order; empty lines are left out. Throws `protocol`. */
  push(chunk: Buffer): string[] {
    const lines: string[] = []
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      const line = this.#complete(chunk.subarray(start, end))
      if (line !== '') lines.push(line)
      start = end + 1
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start))
    return lines
  }

  /** To be called when the server has ended the stream in good order. Throws `protocol` when a line is left over. */
  end(): void {
    if (this.#complete(Buffer.alloc(0)) !== '') throw broken('the stream ended inside a frame')
  }

  #keep(bytes: Buffer): void {
    this.#pending.push(bytes)
    this.#pendingBytes += bytes.length
    if (this.#pendingBytes > LONGEST_FRAME) throw broken(`a frame is longer than ${LONGEST_FRAME} bytes`)
  }

  #complete(bytes: Buffer): string {
    const line = this.#pending.length === 0 ? bytes : Buffer.concat([...this.#pending, bytes])
    this.#pending = []
    this.#pendingBytes = 0
    if (!isUtf8(line)) throw broken('a frame is not UTF-8')
    return line.toString('utf8').trim()
  }
}

/** One line → one frame. Throws `protocol` when it is not an event of a watch. */
export function decodeFrame(line: string): WatchFrame {
  const frame = parse(line)
  const type = stringAt(frame, 'type')
  const object = valueAt(frame, 'object')
  switch (type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
      return { type, object, resourceVersion: versionOf(object, type) }
    case 'BOOKMARK':
      return {
        type,
        resourceVersion: versionOf(object, type),
        initialEventsEnd: valueAt(object, 'metadata', 'annotations', 'k8s.io/initial-events-end') === 'true',
      }
    case 'ERROR':
      return { type, status: object }
    case undefined:
    default:
      throw broken(`a frame is of unknown type (${printable(line.slice(0, 60))})`)
  }
}

function parse(line: string): unknown {
  try {
    const value: unknown = JSON.parse(line)
    if (asRecord(value) !== undefined) return value
  } catch (error) {
    throw broken(`a frame is not JSON (${printable(line.slice(0, 60))})`, error)
  }
  throw broken(`a frame is not an object (${printable(line.slice(0, 60))})`)
}

function versionOf(object: unknown, type: string): string {
  const version = stringAt(object, 'metadata', 'resourceVersion')
  if (version === undefined) throw broken(`a frame of type ${type} has no resourceVersion`)
  return version
}

function broken(what: string, cause?: unknown): WatchError {
  return new WatchError(`Cannot read the watch: ${what}; it is listed anew`, { code: 'protocol', cause })
}
