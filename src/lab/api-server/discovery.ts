/** What the server tells about itself: versions, groups and resources, in the aggregated and in the plain form. */
import { createHash } from 'node:crypto'
import { type Json, type JsonObject } from './json.ts'
import { apiVersionOf, type ResourceDefinition, RESOURCES } from './resources.ts'

export const SERVER_VERSION = {
  major: '1',
  minor: '36',
  gitVersion: 'v1.36.2+fairlead-lab',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: 'node',
  platform: `${process.platform}/${process.arch}`,
} as const

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch']
const SUBRESOURCE_VERBS = ['get', 'patch', 'update']

export interface Document {
  readonly body: string
  readonly contentType: string
  /** The value of the header ETag. */
  readonly etag: string
}

/** The answer to a discovery path; `undefined` for any other path. */
export function discoveryDocument(pathname: string, accept: string): Document | undefined {
  const [root = '', group, version, ...more] = pathname.split('/').filter((part) => part !== '')
  if (more.length > 0) return undefined
  if (pathname === '/version') return plain(SERVER_VERSION)
  if (root === 'api') return coreDocument(group, version, accept)
  if (root !== 'apis') return undefined
  if (group === undefined) return aggregated(accept, (one) => one !== '') ?? plain(groupList())
  if (!groups().includes(group)) return undefined
  if (version === undefined) return plain({ kind: 'APIGroup', apiVersion: 'v1', ...groupInfo(group) })
  return version === 'v1' ? plain(resourceList(group)) : undefined
}

function coreDocument(
  version: string | undefined,
  rest: string | undefined,
  accept: string,
): Document | undefined {
  if (rest !== undefined) return undefined
  if (version === undefined)
    return (
      aggregated(accept, (group) => group === '') ??
      plain({ kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [] })
    )
  return version === 'v1' ? plain(resourceList('')) : undefined
}

function groups(): readonly string[] {
  return [...new Set(RESOURCES.map(({ group }) => group))].filter((group) => group !== '')
}

function groupList(): JsonObject {
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: groups().map(groupInfo) }
}

function groupInfo(group: string): JsonObject {
  const version = { groupVersion: `${group}/v1`, version: 'v1' }
  return { name: group, versions: [version], preferredVersion: version }
}

function resourceList(group: string): JsonObject {
  const resources = RESOURCES.filter((definition) => definition.group === group)
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: group === '' ? 'v1' : `${group}/v1`,
    resources: resources.flatMap((definition) => [
      {
        name: definition.plural,
        singularName: definition.singular,
        namespaced: definition.namespaced,
        kind: definition.kind,
        verbs: VERBS,
        shortNames: definition.shortNames,
        categories: definition.categories,
      },
      ...definition.subresources.map((subresource) => ({
        name: `${definition.plural}/${subresource}`,
        singularName: '',
        namespaced: definition.namespaced,
        verbs: SUBRESOURCE_VERBS,
        ...(subresource === 'scale'
          ? { group: 'autoscaling', version: 'v1', kind: 'Scale' }
          : { kind: definition.kind }),
      })),
    ]),
  }
}

const AGGREGATED = /application\/json;[^,]*v=(v2(?:beta1)?)[^,]*as=APIGroupDiscoveryList/

/** The aggregated form if the client accepts it. */
function aggregated(accept: string, wanted: (group: string) => boolean): Document | undefined {
  const normalised = accept.replace(/g=apidiscovery\.k8s\.io;/g, '')
  const version = AGGREGATED.exec(normalised)?.[1]
  if (version === undefined) return undefined
  const names = ['', ...groups()].filter(wanted)
  const body = {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: names.map((group) => ({
      metadata: group === '' ? {} : { name: group },
      versions: [
        {
          version: 'v1',
          freshness: 'Current',
          resources: RESOURCES.filter((definition) => definition.group === group).map(resourceDiscovery),
        },
      ],
    })),
  }
  return documentOf(body, `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`)
}

function resourceDiscovery(definition: ResourceDefinition): Json {
  const { group, version, kind } = definition
  return {
    resource: definition.plural,
    responseKind: { group, version, kind },
    scope: definition.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: definition.singular,
    verbs: VERBS,
    shortNames: definition.shortNames,
    categories: definition.categories,
    subresources: definition.subresources.map((subresource) => ({
      subresource,
      responseKind:
        subresource === 'scale'
          ? { group: 'autoscaling', version: 'v1', kind: 'Scale' }
          : { group, version, kind },
      verbs: SUBRESOURCE_VERBS,
    })),
  }
}

function plain(body: Json): Document {
  return documentOf(body, 'application/json')
}

export function documentOf(body: Json, contentType: string): Document {
  const text = JSON.stringify(body)
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 32).toUpperCase()
  return { body: text, contentType, etag: `"${digest}"` }
}

/** The group and version of a resource as paths and OpenAPI documents name it: `api/v1`, `apis/apps/v1`. */
export function groupVersionPath(definition: ResourceDefinition): string {
  return definition.group === '' ? `api/${definition.version}` : `apis/${apiVersionOf(definition)}`
}
