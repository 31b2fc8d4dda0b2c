/**
 * Writes src/assets/kubernetes-models.json: the fields of every kind that the embedded API server serves, and of what
 * they consist of, read from the models of @kubernetes/client-node. Run it after an upgrade of that package.
 *
 * A model is {field: type}; a required field ends with "!". Types: string, boolean, int32, int64, double, time,
 * microtime, intOrString, any, map (text by text), the name of a model, and "[]" before any of these for lists.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import * as client from '@kubernetes/client-node'

const ROOTS = [
  ...['V1ConfigMap', 'V1Endpoints', 'CoreV1Event', 'V1Namespace', 'V1Node', 'V1Pod', 'V1Service'],
  ...['V1Deployment', 'V1ReplicaSet', 'V1EndpointSlice', 'EventsV1Event', 'V1ServiceCIDR', 'V1Scale'],
]

interface Attribute {
  readonly baseName: string
  readonly type: string
  readonly format: string
}

const PLAIN: Readonly<Record<string, string>> = {
  string: 'string',
  boolean: 'boolean',
  any: 'any',
  Date: 'time',
  V1MicroTime: 'microtime',
  IntOrString: 'intOrString',
}

function typeOf(type: string, format: string): string {
  const list = /^Array<(.*)>$/.exec(type)
  if (list !== null) return `[]${typeOf(list[1]!, format)}`
  if (type.startsWith('{')) return 'map'
  if (type === 'number') return format === '' ? 'double' : format
  return PLAIN[type] ?? type
}

/** Only the type declarations say which fields are required: theirs have no question mark. */
function requiredFields(model: string): ReadonlySet<string> {
  const path = `${import.meta.dirname}/../node_modules/@kubernetes/client-node/dist/gen/models/${model}.d.ts`
  const names = [...readFileSync(path, 'utf8').matchAll(/^ {4}'?(\w+)'?: /gm)].map((match) => match[1]!)
  return new Set(names)
}

const models: Record<string, Record<string, string>> = {}

function add(model: string): void {
  if (models[model] !== undefined) return
  const { getAttributeTypeMap } = (client as unknown as Record<string, Record<string, () => Attribute[]>>)[
    model
  ]!
  const required = requiredFields(model)
  const fields: Record<string, string> = {}
  models[model] = fields
  for (const { baseName, type, format } of getAttributeTypeMap!()) {
    const name = typeOf(type, format)
    fields[`${baseName}${required.has(baseName) ? '!' : ''}`] = name
    const element = name.replaceAll('[]', '')
    if (/V1[A-Z]/.test(element)) add(element)
  }
}

for (const root of ROOTS) add(root)
const sorted = Object.fromEntries(Object.entries(models).sort(([a], [b]) => (a < b ? -1 : 1)))
writeFileSync(
  `${import.meta.dirname}/../src/assets/kubernetes-models.json`,
  `${JSON.stringify(sorted, null, 2)}\n`,
)
