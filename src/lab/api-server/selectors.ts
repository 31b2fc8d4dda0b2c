/** Label and field selectors: parsed once per request into predicates over objects. */
import { type ApiObject } from './api-object.ts'
import { isObject, type Json, valueAt } from './json.ts'
import { badRequest } from './status-errors.ts'

export type ObjectFilter = (object: ApiObject) => boolean

export const everything: ObjectFilter = () => true

type Labels = Readonly<Record<string, string>>
type LabelTest = (labels: Labels) => boolean

/** A predicate for a label selector: `a=b`, `a!=b`, `a in (x,y)`, `a notin (x,y)`, `a`, `!a`, joined by commas. */
export function parseLabelSelector(text: string): (labels: Labels) => boolean {
  const tests = splitOutsideParentheses(text).map((part) => parseRequirement(part, text))
  return (labels) => tests.every((test) => test(labels))
}

const SET_BASED = /^([^\s!=(),]+)\s+(in|notin)\s*\(([^()]*)\)$/
const EQUALITY = /^([^\s!=(),]+)\s*(==|=|!=)\s*([^\s!=(),]*)$/
const EXISTENCE = /^(!?)\s*([^\s!=(),]+)$/

function parseRequirement(part: string, selector: string): LabelTest {
  const inSet = SET_BASED.exec(part)
  if (inSet !== null) {
    const [, key = '', operator, list = ''] = inSet
    const values = new Set(list.split(',').map((value) => value.trim()))
    // As in Kubernetes, an object without the label satisfies `notin` and `!=`.
    return operator === 'in'
      ? (labels) => labels[key] !== undefined && values.has(labels[key])
      : (labels) => labels[key] === undefined || !values.has(labels[key])
  }
  const equality = EQUALITY.exec(part)
  if (equality !== null) {
    const [, key = '', operator, value] = equality
    return operator === '!=' ? (labels) => labels[key] !== value : (labels) => labels[key] === value
  }
  const existence = EXISTENCE.exec(part)
  if (existence !== null) {
    const [, not, key = ''] = existence
    return not === '!' ? (labels) => labels[key] === undefined : (labels) => labels[key] !== undefined
  }
  throw badRequest(`unable to parse requirement: found '${part}' in label selector '${selector}'`)
}

function splitOutsideParentheses(text: string): readonly string[] {
  return text
    .split(/,(?![^(]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

export interface FieldRequirement {
  readonly field: string
  readonly equal: boolean
  readonly value: string
}

/** The requirements of a field selector: `a.b=c`, `a.b==c`, `a.b!=c`; `\,` and `\=` stand for themselves. */
export function parseFieldSelector(text: string): readonly FieldRequirement[] {
  const parts = text.split(/(?<!\\),/).filter((part) => part !== '')
  return parts.map((part) => {
    const match = /^([^=!]+)(==|=|!=)(.*)$/s.exec(part)
    if (match === null)
      throw badRequest(`invalid selector: '${text}'; can't understand '${part}' as a field requirement`)
    const [, field = '', operator, value = ''] = match
    return { field: field.trim(), equal: operator !== '!=', value: value.replaceAll(/\\([,=\\])/g, '$1') }
  })
}

/** The text of a field as selectors compare it: absent is empty, numbers and booleans by their JSON text. */
export function fieldText(object: ApiObject, field: string): string {
  const value: Json | undefined = valueAt(object, field.split('.'))
  if (value === undefined || value === null || isObject(value)) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

export interface SelectorTexts {
  readonly labelSelector?: string | undefined
  readonly fieldSelector?: string | undefined
  /** The fields that the resource lets one select by, beside `metadata.name` and `metadata.namespace`. */
  readonly selectableFields: readonly string[]
}

/** One predicate for both selectors. Throws a 400 ApiError for a selector that cannot be read or is not supported. */
export function parseSelectors(texts: SelectorTexts): ObjectFilter {
  const { labelSelector = '', fieldSelector = '', selectableFields } = texts
  if (labelSelector === '' && fieldSelector === '') return everything
  const labelsMatch = parseLabelSelector(labelSelector)
  const requirements = parseFieldSelector(fieldSelector)
  for (const { field } of requirements) {
    if (field === 'metadata.name' || field === 'metadata.namespace') continue
    if (!selectableFields.includes(field)) throw badRequest(`field label not supported: ${field}`)
  }
  return (object) =>
    labelsMatch(object.metadata.labels ?? {}) &&
    requirements.every(({ field, equal, value }) => (fieldText(object, field) === value) === equal)
}
