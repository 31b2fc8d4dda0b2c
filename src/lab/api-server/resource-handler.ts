/** Requests for resources: verbs, parameters and content negotiation on top of the registry. */
import { type Clock } from '../../runtime/clock.ts'
import { type ApiObject } from './api-object.ts'
import { identified } from './decode-request.ts'
import { type Exchange } from './exchange.ts'
import { isObject, type JsonObject, objectOrEmpty } from './json.ts'
import { type ListPages } from './list-pages.ts'
import { type ObjectRef } from './object-ref.ts'
import { APPLY_PATCH, applyPatch } from './patches.ts'
import { type DeleteOptions, type Registry } from './registry.ts'
import { decodeObject, decodeValue, readBody, type RequestBody } from './request-body.ts'
import { type ResourcePath } from './request-path.ts'
import { badRequest, methodNotAllowed, notFound, pathNotFound } from './status-errors.ts'
import { type Store, type StoredObject } from './store.ts'
import { WatchConnection } from './watch-connection.ts'
import { jsonFrames, type WatchHub } from './watch-hub.ts'
import { checkListRevision, filterOf, flag, isWatch, numberOf, watchStartOf } from './watch-params.ts'
import { listText, objectText, presented } from './wire-text.ts'

export interface ResourceHandlerParts {
  readonly registry: Registry
  readonly store: Store
  readonly pages: ListPages
  readonly hub: WatchHub
  readonly clock: Clock
  /** Whether `sendInitialEvents` is offered, as servers do since 1.32. */
  readonly watchList: boolean
  /** How long a watch lasts that asks for no time. */
  readonly watchTimeoutSeconds: number
}

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection'

const NAMED_VERBS: Readonly<Record<string, Verb>> = {
  GET: 'get',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
}
const COLLECTION_VERBS: Readonly<Record<string, Verb>> = {
  GET: 'list',
  POST: 'create',
  DELETE: 'deletecollection',
}

/** What a request wants to do with a resource; `undefined` for a method that the API does not have. */
export function verbOf(exchange: Exchange, path: ResourcePath): Verb | undefined {
  const { method = '' } = exchange.request
  if (method === 'GET' && isWatch(exchange.query)) return 'watch'
  return (path.name === undefined ? COLLECTION_VERBS : NAMED_VERBS)[method]
}

export class ResourceHandler {
  readonly #parts: ResourceHandlerParts

  constructor(parts: ResourceHandlerParts) {
    this.#parts = parts
  }

  async handle(exchange: Exchange, path: ResourcePath, verb: Verb): Promise<void> {
    if (path.subresource !== undefined && path.subresource !== 'status') throw pathNotFound()
    switch (verb) {
      case 'get':
        this.#sendOne(exchange, path, this.#parts.registry.get(refOf(path)))
        return
      case 'list':
        this.#list(exchange, path)
        return
      case 'watch':
        await this.#watch(exchange, path)
        return
      case 'create':
        await this.#create(exchange, path)
        return
      case 'update':
        await this.#update(exchange, path)
        return
      case 'patch':
        await this.#patch(exchange, path)
        return
      case 'delete':
      case 'deletecollection':
        await this.#delete(exchange, path)
    }
  }

  #list(exchange: Exchange, path: ResourcePath): void {
    const { query } = exchange
    checkListRevision(query, this.#parts.store.revision)
    const page = this.#parts.pages.page({
      definition: path.definition,
      namespace: path.namespace,
      filter: filterOf(path, query),
      limit: numberOf(query, 'limit'),
      continueToken: query.get('continue') ?? undefined,
    })
    exchange.sendText(200, listText(path.definition, page.entries, page))
  }

  async #watch(exchange: Exchange, path: ResourcePath): Promise<void> {
    const { hub, clock, watchList, watchTimeoutSeconds } = this.#parts
    const { query, response, counts } = exchange
    const start = watchStartOf(query, { watchList })
    const filter = filterOf(path, query)
    const connection = new WatchConnection(response, (bytes) => {
      counts.bytesSent += bytes
    })
    counts.watches++
    const { definition, namespace } = path
    const watchQuery = { definition, namespace, filter, ...start, frames: jsonFrames }
    // Written before the hub sends anything, flushed so that clients of an idle resource see the answer begin.
    response.setHeader('content-type', 'application/json')
    response.setHeader('cache-control', 'no-cache, private')
    const close = hub.open(watchQuery, connection)
    response.flushHeaders()
    try {
      const seconds = numberOf(query, 'timeoutSeconds') ?? watchTimeoutSeconds
      await clock.sleep(seconds * 1000, exchange.signal)
      connection.end()
    } catch {
      // The client has closed the connection, or the server has.
    } finally {
      close()
    }
  }

  async #create(exchange: Exchange, path: ResourcePath): Promise<void> {
    const body = await receive(exchange)
    const object = identified(path, decodeObject(body))
    const entry = this.#parts.registry.create(path.definition, object, { dryRun: isDryRun(exchange) })
    this.#sendOne(exchange, path, entry, 201)
  }

  async #update(exchange: Exchange, path: ResourcePath): Promise<void> {
    const body = await receive(exchange)
    const object = identified(path, decodeObject(body))
    const options = { dryRun: isDryRun(exchange), subresource: subresourceOf(path) }
    this.#sendOne(exchange, path, this.#parts.registry.update(refOf(path), object, options))
  }

  async #patch(exchange: Exchange, path: ResourcePath): Promise<void> {
    const body = await receive(exchange)
    const ref = refOf(path)
    const options = { dryRun: isDryRun(exchange), subresource: subresourceOf(path) }
    const existing = this.#parts.registry.find(ref)
    if (existing === undefined) {
      if (body.mediaType !== APPLY_PATCH) throw notFound(path.definition, ref.name)
      const object = identified(path, decodePatchObject(body))
      this.#sendOne(exchange, path, this.#parts.registry.create(path.definition, object, options), 201)
      return
    }
    const current = presented(path.definition, existing)
    const next = applyPatch(body.mediaType, current, decodeValue(body))
    this.#sendOne(exchange, path, this.#parts.registry.update(ref, identified(path, next), options))
  }

  async #delete(exchange: Exchange, path: ResourcePath): Promise<void> {
    const body = await receive(exchange)
    const options = deleteOptionsOf(exchange, body)
    const { definition, namespace, name } = path
    if (name === undefined) {
      const range = { namespace, filter: filterOf(path, exchange.query) }
      const deleted = this.#parts.registry.deleteCollection(definition, range, options)
      exchange.sendText(200, listText(definition, deleted, { revision: this.#parts.store.revision }))
      return
    }
    const { object, removed } = this.#parts.registry.delete(refOf(path), options)
    exchange.sendJson(200, removed ? successStatus(path, object) : object)
  }

  #sendOne(exchange: Exchange, path: ResourcePath, entry: StoredObject, code = 200): void {
    exchange.sendText(code, objectText(path.definition, entry))
  }
}

async function receive(exchange: Exchange): Promise<RequestBody> {
  const body = await readBody(exchange.request)
  exchange.counts.bytesReceived += body.bytes.length
  return body
}

function refOf(path: ResourcePath): ObjectRef {
  if (path.name === undefined) throw methodNotAllowed()
  return { definition: path.definition, namespace: path.namespace, name: path.name }
}

function subresourceOf(path: ResourcePath): 'status' | undefined {
  return path.subresource === 'status' ? 'status' : undefined
}

function isDryRun(exchange: Exchange): boolean {
  return exchange.query.get('dryRun') === 'All'
}

/** Apply patches are YAML by their media type, of which JSON is a part. */
function decodePatchObject(body: RequestBody): JsonObject {
  const value = decodeValue(body)
  if (!isObject(value)) throw badRequest('the patch is not an object')
  return value
}

function deleteOptionsOf(exchange: Exchange, body: RequestBody): DeleteOptions {
  const given = body.bytes.length === 0 ? {} : decodeObject(body)
  const preconditions = objectOrEmpty(given['preconditions'])
  const { gracePeriodSeconds, dryRun } = given
  const text = (field: string): string | undefined =>
    typeof preconditions[field] === 'string' ? preconditions[field] : undefined
  return {
    gracePeriodSeconds:
      typeof gracePeriodSeconds === 'number'
        ? gracePeriodSeconds
        : numberOf(exchange.query, 'gracePeriodSeconds'),
    uid: text('uid'),
    resourceVersion: text('resourceVersion'),
    dryRun:
      isDryRun(exchange) ||
      (Array.isArray(dryRun) && dryRun.includes('All')) ||
      flag(exchange.query, 'dryRun'),
  }
}

function successStatus(path: ResourcePath, object: ApiObject): JsonObject {
  const { definition } = path
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: {
      name: object.metadata.name,
      kind: definition.plural,
      ...(definition.group === '' ? {} : { group: definition.group }),
      ...(object.metadata.uid === undefined ? {} : { uid: object.metadata.uid }),
    },
  }
}
