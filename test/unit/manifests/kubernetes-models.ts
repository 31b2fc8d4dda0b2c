/**
 * Whether an object has only fields that Kubernetes knows, of the right kind, judged by the models that are generated
 * from its API: what `kubectl apply --validate=strict` would say about unknown fields.
 */
import * as models from '@kubernetes/client-node/dist/gen/models/all.js'
import type { Json, Manifest } from './read-manifests.ts'

interface Attribute {
  readonly baseName: string
  readonly type: string
}

interface Model {
  getAttributeTypeMap(): readonly Attribute[]
}

/** By name: version and kind, as in `V1DaemonSet`. */
const modelsByName = new Map<string, Model>(Object.entries(models))

/** One line for each field that is wrong; empty: none. Throws for a kind that Kubernetes does not have. */
export function unknownFields(manifest: Manifest): string[] {
  const name = `${capital(manifest.apiVersion.split('/').at(-1) ?? '')}${manifest.kind}`
  if (!modelsByName.has(name)) throw new Error(`Kubernetes has no ${manifest.apiVersion} ${manifest.kind}`)
  return check(manifest, name, manifest.kind)
}

function check(value: unknown, type: string, path: string): string[] {
  const list = /^Array<(.+)>$/.exec(type)?.[1]
  if (list !== undefined) {
    if (!Array.isArray(value)) return [`${path} is not a list`]
    return value.flatMap((item, index) => check(item, list, `${path}[${index}]`))
  }
  const map = /^\{ \[key: string\]: (.+); \}$/.exec(type)?.[1]
  if (map !== undefined) {
    if (!isObject(value)) return [`${path} is not a map`]
    return Object.entries(value).flatMap(([key, item]) => check(item, map, `${path}.${key}`))
  }
  const model = modelsByName.get(type)
  return model === undefined ? scalar(value, type, path) : fields(value, model, path)
}

function fields(value: unknown, model: Model, path: string): string[] {
  if (!isObject(value)) return [`${path} is not an object`]
  const types = new Map(model.getAttributeTypeMap().map(({ baseName, type }) => [baseName, type]))
  return Object.entries(value).flatMap(([key, item]) => {
    const type = types.get(key)
    return type === undefined ? [`${path}.${key} is unknown`] : check(item, type, `${path}.${key}`)
  })
}

function scalar(value: unknown, type: string, path: string): string[] {
  if (type === 'IntOrString')
    return typeof value === 'number' || typeof value === 'string' ? [] : [`${path} is no number or string`]
  if (type !== 'string' && type !== 'number' && type !== 'boolean') return []
  return typeof value === type ? [] : [`${path} is not a ${type}`]
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}
