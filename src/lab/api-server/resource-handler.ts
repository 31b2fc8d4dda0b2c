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
import { checkFields } from './request-schema.ts'
import { isReadOnly } from './resources.ts'
import { badRequest, methodNotAllowed, notFound, pathNotFound } from './status-errors.ts'
import { type Store, type StoredObject } from './store.ts'
import { TableRenderer } from './table-text.ts'
import { scaleOf, withScale } from './scale.ts'
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
  /** Take objects as they are. */
  readonly raw: boolean
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

const READING: ReadonlySet<Verb> = new Set(['get', 'list', 'watch'])

/** What a request wants to do with a resource; `undefined` for a method that the resource does not have. */
export function verbOf(exchange: Exchange, path: ResourcePath): Verb | undefined {
  const { method = '' } = exchange.request
  if (method === 'GET' && isWatch(exchange.query)) return 'watch'
  const verb = (path.name === undefined ? COLLECTION_VERBS : NAMED_VERBS)[method]
  return verb !== undefined && !READING.has(verb) && isReadOnly(path.definition) ? undefined : verb
}

export class ResourceHandler {
  readonly #parts: ResourceHandlerParts
  /** What each field manager applied last, by `uid manager`: lets the next apply take fields out again. */
  readonly #appliedByManager = new Map<string, JsonObject>()

  constructor(parts: ResourceHandlerParts) {
    this.#parts = parts
  }

  async handle(exchange: Exchange, path: ResourcePath, verb: Verb): Promise<void> {
    if (path.subresource !== undefined && path.subresource !== 'status') {
      await this.#scale(exchange, path, verb)
      return
    }
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
    const table = this.#tableFor(exchange)
    const text =
      table === undefined
        ? listText(path.definition, page.entries, page)
        : table.text(path.definition, page.entries, page)
    exchange.sendText(200, text)
  }

  #tableFor(exchange: Exchange): TableRenderer | undefined {
    if (!/[;,]as=Table/.test(exchange.accept)) return undefined
    return new TableRenderer(this.#parts.clock.now(), exchange.query.get('includeObject') ?? 'Metadata')
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
    const frames = this.#tableFor(exchange) ?? jsonFrames
    const watchQuery = { definition, namespace, filter, ...start, frames }
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
    const object = this.#accepted(exchange, path, decodeObject(body))
    const entry = this.#parts.registry.create(path.definition, object, { dryRun: isDryRun(exchange) })
    this.#sendOne(exchange, path, entry, 201)
  }

  async #update(exchange: Exchange, path: ResourcePath): Promise<void> {
    const body = await receive(exchange)
    const object = this.#accepted(exchange, path, decodeObject(body))
    const options = { dryRun: isDryRun(exchange), subresource: subresourceOf(path) }
    this.#sendOne(exchange, path, this.#parts.registry.update(refOf(path), object, options))
  }

  async #patch(exchange: Exchange, path: ResourcePath): Promise<void> {
    const body = await receive(exchange)
    const patch = decodeValue(body)
    const ref = refOf(path)
    const { definition } = path
    const existing = this.#parts.registry.find(ref)
    const isApply = body.mediaType === APPLY_PATCH
    if (existing === undefined && !isApply) throw notFound(definition, ref.name)
    const next = applyPatch(existing === undefined ? {} : presented(definition, existing), {
      definition,
      mediaType: body.mediaType,
      patch,
      appliedBefore: this.#appliedByManager.get(managerKey(exchange, existing)),
    })
    const object = this.#accepted(exchange, path, next)
    const entry = this.#put(exchange, path, object)
    if (isApply && isObject(patch) && !isDryRun(exchange))
      this.#appliedByManager.set(managerKey(exchange, entry), patch)
    this.#sendOne(exchange, path, entry, existing === undefined ? 201 : 200)
  }

  /** Creates the object, or replaces the one that exists. */
  #put(exchange: Exchange, path: ResourcePath, object: ApiObject): StoredObject {
    const { registry } = this.#parts
    const options = { dryRun: isDryRun(exchange), subresource: subresourceOf(path) }
    const ref = refOf(path)
    return registry.find(ref) === undefined
      ? registry.create(path.definition, object, options)
      : registry.update(ref, object, options)
  }

  /**
   * The object of a request as the registry takes it. Unknown fields are refused, reported in a header, or dropped in
   * silence, as the parameter `fieldValidation` wants it. A raw server looks at nothing.
   */
  #accepted(exchange: Exchange, path: ResourcePath, body: JsonObject): ApiObject {
    if (this.#parts.raw) return identified(path, body)
    const { object, unknownFields } = checkFields(path.definition, body)
    const found = unknownFields.map((field) => `unknown field "${field}"`)
    const wanted = exchange.query.get('fieldValidation') ?? 'Warn'
    if (found.length > 0 && wanted === 'Strict')
      throw badRequest(
        `${path.definition.kind} in version "${path.definition.version}" cannot be handled as a ${path.definition.kind}: strict decoding error: ${found.join(', ')}`,
      )
    if (found.length > 0 && wanted === 'Warn')
      exchange.response.setHeader(
        'warning',
        found.map((text) => `299 - ${JSON.stringify(text)}`),
      )
    return identified(path, object)
  }

  async #scale(exchange: Exchange, path: ResourcePath, verb: Verb): Promise<void> {
    if (path.subresource !== 'scale' || !path.definition.subresources.includes('scale')) throw pathNotFound()
    const { registry } = this.#parts
    const ref = refOf(path)
    const { object } = registry.get(ref)
    if (verb === 'get') {
      exchange.sendJson(200, scaleOf(object))
      return
    }
    if (verb !== 'update' && verb !== 'patch') throw methodNotAllowed()
    const body = await receive(exchange)
    const { definition } = path
    const scale =
      verb === 'update'
        ? decodeObject(body)
        : applyPatch(scaleOf(object), { definition, mediaType: body.mediaType, patch: decodeValue(body) })
    const scaled = registry.update(ref, withScale(object, scale), { dryRun: isDryRun(exchange) })
    exchange.sendJson(200, scaleOf(scaled.object))
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
    const table = this.#tableFor(exchange)
    const text =
      table === undefined
        ? objectText(path.definition, entry)
        : table.text(path.definition, [entry], { revision: entry.revision })
    exchange.sendText(code, text)
  }
}

async function receive(exchange: Exchange): Promise<RequestBody> {
  const body = await readBody(exchange.request)
  exchange.counts.bytesReceived += body.bytes.length
  return body
}

/** Who applies to which object. */
function managerKey(exchange: Exchange, entry: StoredObject | undefined): string {
  return `${entry?.object.metadata.uid ?? ''} ${exchange.query.get('fieldManager') ?? ''}`
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
