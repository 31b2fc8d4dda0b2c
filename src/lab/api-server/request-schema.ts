/** Checks the fields of a request against the models: wrong types are refused, unknown fields found and taken out. */
import { type Field, modelNamed, modelNameOf } from './api-models.ts'
import { isArray, isObject, type Json, type JsonObject } from './json.ts'
import { type ResourceDefinition } from './resources.ts'
import { badRequest } from './status-errors.ts'

export interface CheckedObject {
  /** Without unknown fields and without nulls, as the API server's typed decoding leaves it. */
  readonly object: JsonObject
  /** Paths such as `spec.ports[0].prot`. */
  readonly unknownFields: readonly string[]
}

/** Throws a 400 ApiError for a value of a wrong type. */
export function checkFields(definition: ResourceDefinition, body: JsonObject): CheckedObject {
  const unknownFields: string[] = []
  const check = new FieldCheck(definition, unknownFields)
  return { object: check.model(modelNameOf(definition), body, ''), unknownFields }
}

class FieldCheck {
  readonly #definition: ResourceDefinition
  readonly #unknownFields: string[]

  constructor(definition: ResourceDefinition, unknownFields: string[]) {
    this.#definition = definition
    this.#unknownFields = unknownFields
  }

  model(name: string, value: JsonObject, path: string): JsonObject {
    const fields = modelNamed(name)
    const result: Record<string, Json> = {}
    for (const [key, fieldValue] of Object.entries(value)) {
      if (fieldValue === undefined || fieldValue === null) continue
      const fieldPath = path === '' ? key : `${path}.${key}`
      const field = fields?.get(key)
      if (field === undefined) this.#unknownFields.push(fieldPath)
      else result[key] = this.#field(field, fieldValue, fieldPath)
    }
    return result
  }

  #field(field: Field, value: Json, path: string): Json {
    if (!field.isList) return this.#value(field.type, value, path)
    if (!isArray(value)) throw this.#mismatch(value, path, `[]${field.type}`)
    return value.map((item, i) => this.#value(field.type, item, `${path}[${i}]`))
  }

  #value(type: string, value: Json, path: string): Json {
    if (type === 'any') return value
    if (type === 'map') return this.#map(value, path)
    if (modelNamed(type) !== undefined) {
      if (!isObject(value)) throw this.#mismatch(value, path, type)
      return this.model(type, value, path)
    }
    if (!hasPlainType(type, value)) throw this.#mismatch(value, path, type)
    return value
  }

  #map(value: Json, path: string): Json {
    if (!isObject(value)) throw this.#mismatch(value, path, 'map[string]string')
    const given = Object.entries(value).filter(([, entry]) => entry !== null)
    for (const [key, entry] of given)
      if (typeof entry !== 'string' && !(typeof entry === 'number' && !TEXT_MAPS.test(path)))
        throw this.#mismatch(entry ?? null, `${path}.${key}`, 'string')
    return Object.fromEntries(given)
  }

  #mismatch(value: Json, path: string, type: string): Error {
    const { kind, version } = this.#definition
    const found = isArray(value) ? 'array' : typeof value
    return badRequest(
      `${kind} in version "${version}" cannot be handled as a ${kind}: json: cannot unmarshal ${found} into Go struct field ${kind}.${path} of type ${type.replace(/^V1/, 'v1.')}`,
    )
  }
}

/** Maps of texts; all others are quantities, which may be numbers. */
const TEXT_MAPS = /(labels|annotations|selector|matchLabels|nodeSelector|data|deprecatedTopology)$/

function hasPlainType(type: string, value: Json): boolean {
  switch (type) {
    case 'boolean':
      return typeof value === 'boolean'
    case 'int32':
    case 'int64':
      return typeof value === 'number' && Number.isInteger(value)
    case 'double':
      return typeof value === 'number'
    case 'intOrString':
      return typeof value === 'string' || (typeof value === 'number' && Number.isInteger(value))
    case 'time':
    case 'microtime':
      return typeof value === 'string' && !Number.isNaN(Date.parse(value))
    default:
      return typeof value === 'string'
  }
}
