/** The patch formats of the API, chosen by media type. */
import { modelNameOf } from './api-models.ts'
import { isObject, type Json, type JsonObject } from './json.ts'
import { applyConfiguration } from './patch-apply.ts'
import { jsonPatch } from './patch-json.ts'
import { mergePatch } from './patch-merge.ts'
import { strategicMergePatch } from './patch-strategic.ts'
import { type ResourceDefinition } from './resources.ts'
import { badRequest, unsupportedMediaType } from './status-errors.ts'

export const APPLY_PATCH = 'application/apply-patch+yaml'
export const PATCH_TYPES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  APPLY_PATCH,
] as const

export interface PatchRequest {
  readonly definition: ResourceDefinition
  readonly mediaType: string
  readonly patch: Json
  /** For an apply patch: what the same manager applied before. */
  readonly appliedBefore?: JsonObject | undefined
}

/** The object after the patch. */
export function applyPatch(current: JsonObject, request: PatchRequest): JsonObject {
  const result = patched(current, request)
  if (!isObject(result)) throw badRequest('the patch does not leave an object')
  return result
}

function patched(current: JsonObject, request: PatchRequest): Json {
  const { definition, mediaType, patch } = request
  const model = modelNameOf(definition)
  if (mediaType === 'application/json-patch+json') return jsonPatch(current, patch)
  if (mediaType === 'application/merge-patch+json') return mergePatch(current, patch)
  if (mediaType === 'application/strategic-merge-patch+json')
    return strategicMergePatch(current, objectPatch(patch), model)
  if (mediaType === APPLY_PATCH) {
    const versions = { before: request.appliedBefore ?? {}, applied: objectPatch(patch) }
    return applyConfiguration(current, versions, model)
  }
  throw unsupportedMediaType(PATCH_TYPES.join(', '))
}

function objectPatch(patch: Json): JsonObject {
  if (!isObject(patch)) throw badRequest('the patch is not an object')
  return patch
}
