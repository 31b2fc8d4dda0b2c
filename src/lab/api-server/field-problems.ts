/** The API server's wording for what is wrong with a field. */
import { type Json } from './json.ts'
import { type FieldProblem } from './status-errors.ts'

export function requiredField(field: string, why = ''): FieldProblem {
  return {
    reason: 'FieldValueRequired',
    field,
    message: why === '' ? 'Required value' : `Required value: ${why}`,
  }
}

export function invalidField(field: string, value: Json | undefined, why: string): FieldProblem {
  return {
    reason: 'FieldValueInvalid',
    field,
    message: `Invalid value: ${JSON.stringify(value ?? null)}: ${why}`,
  }
}

export function duplicateField(field: string, value: Json): FieldProblem {
  return {
    reason: 'FieldValueDuplicate',
    field,
    message: `Duplicate value: ${JSON.stringify(value)}`,
  }
}

export function forbiddenField(field: string, why: string): FieldProblem {
  return { reason: 'FieldValueForbidden', field, message: `Forbidden: ${why}` }
}

/** No problem if the value is absent or one of those supported. */
export function supportedField(
  field: string,
  value: string | undefined,
  supported: readonly string[],
): readonly FieldProblem[] {
  if (value === undefined || supported.includes(value)) return []
  const known = supported.map((one) => JSON.stringify(one)).join(', ')
  return [
    {
      reason: 'FieldValueNotSupported',
      field,
      message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${known}`,
    },
  ]
}

export function portProblems(field: string, port: number | undefined): readonly FieldProblem[] {
  if (port !== undefined && Number.isInteger(port) && port >= 1 && port <= 65535) return []
  return [invalidField(field, port ?? 0, 'must be between 1 and 65535, inclusive')]
}
