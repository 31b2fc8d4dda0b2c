/** The patch formats of the API, chosen by media type. */
import { isObject, type Json, type JsonObject } from './json.ts'
import { jsonPatch } from './patch-json.ts'
import { mergePatch } from './patch-merge.ts'
import { badRequest, unsupportedMediaType } from './status-errors.ts'

export const APPLY_PATCH = 'application/apply-patch+yaml'

/** The object after the patch. */
export function applyPatch(mediaType: string, current: JsonObject, patch: Json): JsonObject {
  const result = patched(mediaType, current, patch)
  if (!isObject(result)) throw badRequest('the patch does not leave an object')
  return result
}

function patched(mediaType: string, current: JsonObject, patch: Json): Json {
  switch (mediaType) {
    case 'application/json-patch+json':
      return jsonPatch(current, patch)
    case 'application/merge-patch+json':
    case 'application/strategic-merge-patch+json':
    case APPLY_PATCH:
      return mergePatch(current, patch)
    default:
      throw unsupportedMediaType(
        'application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml',
      )
  }
}
