/**
 * OpenAPI v3 documents, one per group and version: enough for kubectl to validate, to find merge keys for `apply` and
 * to `explain`. They are made from the same models as the server's own checks.
 */
import { allModels, type Field, type Model, modelNamed, modelNameOf } from './api-models.ts'
import { type Document, documentOf, groupVersionPath, SERVER_VERSION } from './discovery.ts'
import { type Json, type JsonObject } from './json.ts'
import { PATCH_TYPES } from './patches.ts'
import { type ResourceDefinition, RESOURCES } from './resources.ts'

const ROOT = '/openapi/v3'

/** The answer to an OpenAPI path; `undefined` for any other. */
export function openApiDocument(pathname: string): Document | undefined {
  if (pathname === ROOT) return documentOf({ paths: rootPaths() }, 'application/json')
  if (!pathname.startsWith(`${ROOT}/`)) return undefined
  const wanted = pathname.slice(ROOT.length + 1)
  const definitions = RESOURCES.filter((definition) => groupVersionPath(definition) === wanted)
  return definitions.length === 0 ? undefined : groupDocument(definitions)
}

function rootPaths(): JsonObject {
  const paths = [...new Set(RESOURCES.map(groupVersionPath))]
  return Object.fromEntries(
    paths.map((path) => {
      const { etag = '' } = openApiDocument(`${ROOT}/${path}`) ?? {}
      return [path, { serverRelativeURL: `${ROOT}/${path}?hash=${etag.replaceAll('"', '')}` }]
    }),
  )
}

function groupDocument(definitions: readonly ResourceDefinition[]): Document {
  const schemas: Record<string, Json> = { [schemaName('V1IntOrString')]: INT_OR_STRING }
  for (const definition of definitions) addSchema(schemas, modelNameOf(definition))
  for (const definition of definitions) {
    const name = schemaName(modelNameOf(definition))
    schemas[name] = {
      ...(schemas[name] as JsonObject),
      'x-kubernetes-group-version-kind': [kindOf(definition)],
    }
  }
  const body = {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: SERVER_VERSION.gitVersion },
    paths: Object.fromEntries(definitions.flatMap(pathItems)),
    components: { schemas },
  }
  return documentOf(body, 'application/json')
}

function kindOf(definition: ResourceDefinition): JsonObject {
  return { group: definition.group, version: definition.version, kind: definition.kind }
}

function pathItems(definition: ResourceDefinition): readonly (readonly [string, Json])[] {
  const base = `/${groupVersionPath(definition)}`
  const scope = definition.namespaced ? '/namespaces/{namespace}' : ''
  const collection = `${base}${scope}/${definition.plural}`
  const schema = { $ref: reference(modelNameOf(definition)) }
  const operation = (action: string): JsonObject => ({
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': kindOf(definition),
    parameters: ['dryRun', 'fieldManager', 'fieldValidation'].map((name) => ({
      name,
      in: 'query',
      schema: { type: 'string', uniqueItems: true },
    })),
    responses: { 200: { description: 'OK', content: { 'application/json': { schema } } } },
  })
  const patchContent = Object.fromEntries(PATCH_TYPES.map((type) => [type, { schema: { type: 'object' } }]))
  return [
    [collection, { get: operation('list'), post: operation('post'), delete: operation('deletecollection') }],
    [
      `${collection}/{name}`,
      {
        get: operation('get'),
        put: operation('put'),
        patch: { ...operation('patch'), requestBody: { content: patchContent } },
        delete: operation('delete'),
      },
    ],
  ]
}

/** `V1ServiceSpec` as `io.k8s.v1.ServiceSpec`: clients show what follows the last dot. */
function schemaName(model: string): string {
  return `io.k8s.v1.${model.replace('V1', '')}`
}

function reference(model: string): string {
  return `#/components/schemas/${schemaName(model)}`
}

function addSchema(schemas: Record<string, Json>, name: string): void {
  const model = allModels().get(name)
  if (model === undefined || schemas[schemaName(name)] !== undefined) return
  schemas[schemaName(name)] = modelSchema(model)
  for (const field of model.values()) addSchema(schemas, field.type)
}

function modelSchema(model: Model): JsonObject {
  const required = [...model.values()].filter((field) => field.required).map((field) => field.name)
  return {
    type: 'object',
    ...(required.length === 0 ? {} : { required }),
    properties: Object.fromEntries([...model.values()].map((field) => [field.name, fieldSchema(field)])),
  }
}

function fieldSchema(field: Field): JsonObject {
  if (!field.isList) return typeSchema(field.type)
  return { type: 'array', items: typeSchema(field.type), ...mergeExtensions(field) }
}

function mergeExtensions({ merge }: Field): JsonObject {
  if (merge.by === 'set') return { 'x-kubernetes-list-type': 'set', 'x-kubernetes-patch-strategy': 'merge' }
  if (merge.by !== 'keys') return { 'x-kubernetes-list-type': 'atomic' }
  return {
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': merge.keys,
    'x-kubernetes-patch-strategy': 'merge',
    'x-kubernetes-patch-merge-key': merge.keys[0],
  }
}

const INT_OR_STRING: JsonObject = {
  format: 'int-or-string',
  oneOf: [{ type: 'integer' }, { type: 'string' }],
}

const TYPE_SCHEMAS: Readonly<Record<string, JsonObject>> = {
  string: { type: 'string' },
  boolean: { type: 'boolean' },
  int32: { type: 'integer', format: 'int32' },
  int64: { type: 'integer', format: 'int64' },
  double: { type: 'number', format: 'double' },
  time: { type: 'string', format: 'date-time' },
  microtime: { type: 'string', format: 'date-time' },
  intOrString: { allOf: [{ $ref: reference('V1IntOrString') }] },
  map: { type: 'object', additionalProperties: { type: 'string' } },
  any: { type: 'object' },
}

function typeSchema(type: string): JsonObject {
  if (modelNamed(type) !== undefined) return { allOf: [{ $ref: reference(type) }] }
  return TYPE_SCHEMAS[type] ?? { type: 'string' }
}
