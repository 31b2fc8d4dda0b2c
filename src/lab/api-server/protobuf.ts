/**
 * Reads objects in Kubernetes' protobuf encoding: an envelope that names kind and version, and in it the message.
 * Only messages of the table in protobuf-fields.ts are known; a field beyond it is refused (415) rather than lost.
 */
import { type Field, modelNamed, modelNameOf } from './api-models.ts'
import { microTimestamp, timestamp } from './api-object.ts'
import { type Json, type JsonObject } from './json.ts'
import { FIELDS_BY_NUMBER, OPTIONAL_FIELDS } from './protobuf-fields.ts'
import { resourceOf } from './resources.ts'
import { unsupportedMediaType } from './status-errors.ts'

const MAGIC = Buffer.from('k8s\0')

interface RawField {
  readonly number: number
  /** The bytes of a text or message, or the value of a number. */
  readonly value: Buffer | bigint
}

/** Throws a 415 ApiError for what is no such object, or one with fields that are not known here. */
export function decodeProtobuf(bytes: Buffer): JsonObject {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw unreadable()
  const envelope = fieldsOf(bytes.subarray(MAGIC.length))
  const typeMeta = fieldsOf(bytesOf(envelope, 1))
  const apiVersion = bytesOf(typeMeta, 1).toString()
  const kind = bytesOf(typeMeta, 2).toString()
  const definition = resourceOf({ apiVersion, kind })
  if (definition === undefined) throw unreadable()
  return { apiVersion, kind, ...message(modelNameOf(definition), bytesOf(envelope, 2)) }
}

function unreadable(): Error {
  return unsupportedMediaType('application/json, application/yaml')
}

function bytesOf(fields: readonly RawField[], number: number): Buffer {
  const value = fields.find((field) => field.number === number)?.value
  return Buffer.isBuffer(value) ? value : Buffer.alloc(0)
}

function message(model: string, bytes: Buffer): JsonObject {
  const names = FIELDS_BY_NUMBER[model]
  const result: Record<string, Json> = {}
  for (const { number, value } of fieldsOf(bytes)) {
    const field = modelNamed(model)?.get(names?.[number - 1] ?? '')
    if (field === undefined) {
      if (isZero(value)) continue
      throw unreadable()
    }
    add(result, field, value)
  }
  return result
}

function add(result: Record<string, Json>, field: Field, value: Buffer | bigint): void {
  const { name, type, isList } = field
  if (type === 'map') {
    const entry = fieldsOf(asBytes(value))
    result[name] = {
      ...(result[name] as JsonObject | undefined),
      [bytesOf(entry, 1).toString()]: bytesOf(entry, 2).toString(),
    }
  } else if (isList) {
    result[name] = [...((result[name] as readonly Json[] | undefined) ?? []), scalar(type, value)]
  } else if (!isZero(value) || OPTIONAL_FIELDS.has(name)) {
    const decoded = scalar(type, value)
    if (decoded !== null) result[name] = decoded
  }
}

/** Go writes most fields whether they are set or not; JSON leaves such zeros out. */
function isZero(value: Buffer | bigint): boolean {
  return typeof value === 'bigint' ? value === 0n : value.length === 0
}

function scalar(type: string, value: Buffer | bigint): Json {
  if (typeof value === 'bigint') return type === 'boolean' ? value !== 0n : Number(BigInt.asIntN(64, value))
  if (type === 'time' || type === 'microtime') return time(type, value)
  if (type === 'intOrString') return intOrString(value)
  return modelNamed(type) === undefined ? value.toString() : message(type, value)
}

function time(type: 'time' | 'microtime', bytes: Buffer): string | null {
  const fields = fieldsOf(bytes)
  const [seconds = 0, nanos = 0] = [1, 2].map((number) => numberOf(fields, number))
  if (seconds === 0) return null
  const ms = seconds * 1000 + Math.floor(nanos / 1e6)
  return type === 'time' ? timestamp(ms) : microTimestamp(ms)
}

/** Field 1 says which it is: 0 a number (field 2), 1 a text (field 3). */
function intOrString(bytes: Buffer): Json {
  const fields = fieldsOf(bytes)
  return numberOf(fields, 1) === 0 ? numberOf(fields, 2) : bytesOf(fields, 3).toString()
}

function numberOf(fields: readonly RawField[], number: number): number {
  const value = fields.find((field) => field.number === number)?.value
  return typeof value === 'bigint' ? Number(BigInt.asIntN(64, value)) : 0
}

function asBytes(value: Buffer | bigint): Buffer {
  if (typeof value === 'bigint') throw unreadable()
  return value
}

/** The fields of a message: varints (wire type 0) and lengths with bytes (2); Kubernetes' types need no other. */
function fieldsOf(bytes: Buffer): readonly RawField[] {
  const fields: RawField[] = []
  let position = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[position++]
      if (byte === undefined || shift > 63n) throw unreadable()
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  while (position < bytes.length) {
    const tag = Number(varint())
    const wireType = tag & 7
    if (wireType !== 0 && wireType !== 2) throw unreadable()
    const first = varint()
    if (wireType === 0) {
      fields.push({ number: tag >>> 3, value: first })
      continue
    }
    const end = position + Number(first)
    if (end > bytes.length) throw unreadable()
    fields.push({ number: tag >>> 3, value: bytes.subarray(position, end) })
    position = end
  }
  return fields
}
