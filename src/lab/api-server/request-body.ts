/** Reads the bodies of requests: JSON or YAML, of bounded size. */
import { type IncomingMessage } from 'node:http'
import { parse } from 'yaml'
import { isObject, type Json, type JsonObject } from './json.ts'
import { decodeProtobuf } from './protobuf.ts'
import { ApiError, badRequest, unsupportedMediaType } from './status-errors.ts'

const MAX_BODY_BYTES = 16 * 1024 * 1024

export interface RequestBody {
  /** The media type without parameters, in lower case. */
  readonly mediaType: string
  readonly bytes: Buffer
}

export async function readBody(request: IncomingMessage): Promise<RequestBody> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BODY_BYTES)
      throw new ApiError({
        code: 413,
        reason: 'RequestEntityTooLarge',
        message: `Request entity too large: limit is ${MAX_BODY_BYTES}`,
      })
    chunks.push(chunk)
  }
  const mediaType = (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
  return { mediaType, bytes: Buffer.concat(chunks) }
}

const JSON_TYPES: ReadonlySet<string> = new Set(['', 'application/json', 'application/yaml'])

/** The object in a body. Throws 415 for other formats and 400 for what cannot be read. */
export function decodeObject(body: RequestBody): JsonObject {
  if (body.mediaType === 'application/vnd.kubernetes.protobuf') return decodeProtobuf(body.bytes)
  if (!JSON_TYPES.has(body.mediaType)) throw unsupportedMediaType('application/json, application/yaml')
  const value = decodeValue(body)
  if (!isObject(value)) throw badRequest('the request body is not an object')
  return value
}

/** Whatever a body holds; YAML where the media type says so. */
export function decodeValue(body: RequestBody): Json {
  const text = body.bytes.toString('utf8')
  try {
    return (body.mediaType.endsWith('yaml') ? parse(text) : JSON.parse(text)) as Json
  } catch (error) {
    throw badRequest(`the request body cannot be read: ${error instanceof Error ? error.message : 'unknown'}`)
  }
}
