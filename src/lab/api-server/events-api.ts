/** Events exist in two API groups with other field names; the server stores the core form and converts. */
import { type ApiObject } from './api-object.ts'
import { type Json, withoutUndefined } from './json.ts'

/** Pairs of field names: core v1, events.k8s.io/v1. */
const RENAMED: readonly (readonly [core: string, newer: string])[] = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['reportingComponent', 'reportingController'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
]

/** A core event in the form of events.k8s.io/v1. */
export function newEventOf(event: ApiObject): ApiObject {
  return renamed(event, { from: 0, to: 1, apiVersion: 'events.k8s.io/v1' })
}

/** An event of events.k8s.io/v1 in the core form. */
export function coreEventOf(event: ApiObject): ApiObject {
  return renamed(event, { from: 1, to: 0, apiVersion: 'v1' })
}

function renamed(event: ApiObject, how: { from: 0 | 1; to: 0 | 1; apiVersion: string }): ApiObject {
  const names = new Map(RENAMED.map((pair) => [pair[how.from], pair[how.to]]))
  const fields: Record<string, Json | undefined> = {}
  for (const [field, value] of Object.entries(event)) fields[names.get(field) ?? field] = value
  return {
    ...withoutUndefined(fields),
    apiVersion: how.apiVersion,
    kind: event.kind,
    metadata: event.metadata,
  }
}
