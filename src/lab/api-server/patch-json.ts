/** JSON patch (RFC 6902) over immutable values. */
import { isArray, isObject, type Json, jsonEqual, type JsonObject } from './json.ts'
import { ApiError, badRequest } from './status-errors.ts'

/** Applies the operations in order. Throws 400 for a malformed patch and 422 where one cannot be applied. */
export function jsonPatch(target: Json, patch: Json): Json {
  if (!isArray(patch)) throw badRequest('a JSON patch is a list of operations')
  return patch.reduce<Json>((document, operation) => {
    if (!isObject(operation)) throw badRequest('an operation of a JSON patch is an object')
    return applyOperation(document, operation)
  }, target)
}

function applyOperation(document: Json, operation: JsonObject): Json {
  const path = pointer(operation, 'path')
  const { value } = operation
  const op = typeof operation['op'] === 'string' ? operation['op'] : ''
  switch (op) {
    case 'add':
      return edit(document, path, { kind: 'add', value: required(value) })
    case 'replace':
      return edit(document, path, { kind: 'replace', value: required(value) })
    case 'remove':
      return edit(document, path, { kind: 'remove' })
    case 'move': {
      const from = pointer(operation, 'from')
      const moved = read(document, from)
      return edit(edit(document, from, { kind: 'remove' }), path, { kind: 'add', value: moved })
    }
    case 'copy':
      return edit(document, path, { kind: 'add', value: read(document, pointer(operation, 'from')) })
    case 'test':
      if (jsonEqual(read(document, path), value)) return document
      throw unprocessable(`testing value ${path.join('/')} failed`)
    default:
      throw badRequest(`unknown operation "${op}" in a JSON patch`)
  }
}

type Edit =
  | { readonly kind: 'add'; readonly value: Json }
  | { readonly kind: 'replace'; readonly value: Json }
  | { readonly kind: 'remove' }

function edit(target: Json | undefined, path: readonly string[], change: Edit): Json {
  const [field, ...rest] = path
  if (field === undefined) {
    if (change.kind === 'remove') throw unprocessable('the whole document cannot be removed')
    return change.value
  }
  if (isArray(target)) return editArray(target, { field, rest }, change)
  if (isObject(target)) return editObject(target, { field, rest }, change)
  throw unprocessable(`the path "/${path.join('/')}" leads to nothing`)
}

interface Step {
  readonly field: string
  readonly rest: readonly string[]
}

function editArray(target: readonly Json[], { field, rest }: Step, change: Edit): Json {
  const index = field === '-' ? target.length : Number(field)
  const limit = rest.length === 0 && change.kind === 'add' ? target.length : target.length - 1
  if (!/^(0|[1-9]\d*|-)$/.test(field) || index > limit)
    throw unprocessable(`"${field}" is no index of a list of ${target.length}`)
  if (rest.length > 0) return target.toSpliced(index, 1, edit(target[index], rest, change))
  if (change.kind === 'remove') return target.toSpliced(index, 1)
  return target.toSpliced(index, change.kind === 'add' ? 0 : 1, change.value)
}

function editObject(target: JsonObject, { field, rest }: Step, change: Edit): Json {
  const exists = Object.hasOwn(target, field)
  if (!exists && (rest.length > 0 || change.kind !== 'add'))
    throw unprocessable(`the field "${field}" does not exist`)
  if (rest.length > 0) return { ...target, [field]: edit(target[field], rest, change) }
  if (change.kind !== 'remove') return { ...target, [field]: change.value }
  const { [field]: _removed, ...others } = target
  return others
}

function read(document: Json, path: readonly string[]): Json {
  let current: Json | undefined = document
  for (const field of path) {
    if (isArray(current)) current = current[Number(field)]
    else if (isObject(current) && Object.hasOwn(current, field)) current = current[field]
    else current = undefined
  }
  if (current === undefined) throw unprocessable(`the path "/${path.join('/')}" leads to nothing`)
  return current
}

/** RFC 6901: `~1` is a slash and `~0` a tilde. */
function pointer(operation: JsonObject, name: 'path' | 'from'): readonly string[] {
  const text = operation[name]
  if (typeof text !== 'string' || (text !== '' && !text.startsWith('/')))
    throw badRequest(`"${name}" of a JSON patch operation is not a JSON pointer`)
  return text
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
}

function required(value: Json | undefined): Json {
  if (value === undefined) throw badRequest('an operation of a JSON patch lacks its value')
  return value
}

function unprocessable(message: string): ApiError {
  return new ApiError({
    code: 422,
    reason: 'Invalid',
    message: `the server rejected our request due to an error in our request: ${message}`,
  })
}
