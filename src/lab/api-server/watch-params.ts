/** The query parameters of list and watch requests. */
import { type ResourcePath } from './request-path.ts'
import { type ObjectFilter, parseSelectors } from './selectors.ts'
import { ApiError, badRequest, tooLargeResourceVersion } from './status-errors.ts'

export function filterOf(path: ResourcePath, query: URLSearchParams): ObjectFilter {
  const byName = path.name === undefined ? undefined : `metadata.name=${path.name}`
  const fields = [byName, query.get('fieldSelector') ?? ''].filter(
    (text) => text !== undefined && text !== '',
  )
  return parseSelectors({
    labelSelector: query.get('labelSelector') ?? '',
    fieldSelector: fields.join(','),
    selectableFields: path.definition.selectableFields,
  })
}

export function isWatch(query: URLSearchParams): boolean {
  return flag(query, 'watch')
}

export function flag(query: URLSearchParams, name: string): boolean {
  const value = query.get(name)
  return value !== null && ['true', '1', ''].includes(value)
}

/** A number that a parameter gives, `undefined` if it is absent or empty. */
export function numberOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name)
  if (text === null || text === '') return undefined
  if (!/^\d{1,15}$/.test(text))
    throw badRequest(`the query parameter "${name}" is not a number: ${JSON.stringify(text)}`)
  return Number(text)
}

export interface WatchStart {
  /** `undefined`: begin with everything that exists. */
  readonly from: number | undefined
  readonly markInitialEnd: boolean
  readonly allowBookmarks: boolean
}

/** Where a watch begins. Throws 422 for `sendInitialEvents` where the server does not offer it. */
export function watchStartOf(query: URLSearchParams, options: { readonly watchList: boolean }): WatchStart {
  const revision = numberOf(query, 'resourceVersion')
  const allowBookmarks = flag(query, 'allowWatchBookmarks')
  const sendInitialEvents = query.get('sendInitialEvents')
  if (sendInitialEvents === null)
    return {
      from: revision === undefined || revision === 0 ? undefined : revision,
      markInitialEnd: false,
      allowBookmarks,
    }
  if (!options.watchList)
    throw invalidOption(
      'sendInitialEvents',
      'sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled',
    )
  if (query.get('resourceVersionMatch') !== 'NotOlderThan')
    throw invalidOption(
      'resourceVersionMatch',
      'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
    )
  const wanted = flag(query, 'sendInitialEvents')
  return { from: wanted ? undefined : revision, markInitialEnd: wanted && allowBookmarks, allowBookmarks }
}

/** Refuses a list that is to be newer than anything the server has (a client that knew the server before a restart). */
export function checkListRevision(query: URLSearchParams, current: number): void {
  const wanted = numberOf(query, 'resourceVersion')
  if (wanted !== undefined && wanted > current) throw tooLargeResourceVersion(wanted, current)
}

function invalidOption(field: string, message: string): ApiError {
  return new ApiError({
    code: 422,
    reason: 'Invalid',
    message: `ListOptions.meta.k8s.io "" is invalid: ${field}: Forbidden: ${message}`,
    details: {
      group: 'meta.k8s.io',
      kind: 'ListOptions',
      causes: [{ reason: 'FieldValueForbidden', message: `Forbidden: ${message}`, field }],
    },
  })
}
