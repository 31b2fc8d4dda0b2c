/** Reads the path of an API request. */
import { findResource, NAMESPACES, type ResourceDefinition } from './resources.ts'

export interface ResourcePath {
  readonly definition: ResourceDefinition
  readonly namespace: string | undefined
  readonly name: string | undefined
  readonly subresource: string | undefined
}

/** `undefined` for a path that names no resource of this server. */
export function parseResourcePath(pathname: string): ResourcePath | undefined {
  const segments = pathname
    .split('/')
    .filter((segment) => segment !== '')
    .map(decodeSegment)
  const [root, ...rest] = segments
  if (root === 'api') {
    const [version = '', ...tail] = rest
    return inGroup('', version, tail)
  }
  if (root === 'apis') {
    const [group = '', version = '', ...tail] = rest
    return inGroup(group, version, tail)
  }
  return undefined
}

function inGroup(group: string, version: string, tail: readonly string[]): ResourcePath | undefined {
  const [first, namespace, plural, name, subresource, ...more] = tail
  const isInNamespace = first === 'namespaces' && plural !== undefined && !NAMESPACE_SUBRESOURCES.has(plural)
  if (isInNamespace) {
    const definition = findResource(group, version, plural)
    if (definition?.namespaced !== true || more.length > 0) return undefined
    return { definition, namespace, name, subresource }
  }
  const [clusterPlural = '', clusterName, clusterSubresource, ...extra] = tail
  const definition = findResource(group, version, clusterPlural)
  if (definition === undefined || extra.length > 0) return undefined
  // A namespaced resource without a namespace can only be listed or watched, not addressed by name.
  if (definition.namespaced && clusterName !== undefined) return undefined
  return { definition, namespace: undefined, name: clusterName, subresource: clusterSubresource }
}

const NAMESPACE_SUBRESOURCES: ReadonlySet<string> = new Set([...NAMESPACES.subresources, 'finalize'])

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
