/**
 * An embedded Kubernetes API server: enough of the API, faithfully, for tests, the demo and real clients (kubectl,
 * kube-proxy, Fairlead itself). All state is in memory; everything a test needs is reachable in process, and what a
 * client needs over HTTP.
 */
import { hostname } from 'node:os'
import { type Clock, systemClock } from '../../runtime/clock.ts'
import { type Logger, silentLogger } from '../../runtime/logger.ts'
import { rawAdmission } from './admission.ts'
import { type NodePortRange } from './allocation.ts'
import { type ApiObject, timestamp } from './api-object.ts'
import { createServingCertificate, type ServingCertificate } from './certificates.ts'
import { type ClientCounts, ClientStats } from './client-stats.ts'
import { identified, type RequestTarget } from './decode-request.ts'
import { DeploymentController } from './deployment-controller.ts'
import { discoveryDocument } from './discovery.ts'
import { EndpointSliceController } from './endpoint-slice-controller.ts'
import { type Exchange } from './exchange.ts'
import { Faults } from './faults.ts'
import { type Json } from './json.ts'
import { renderKubeconfig } from './kubeconfig.ts'
import { ListPages } from './list-pages.ts'
import { Listener } from './listener.ts'
import { type ObjectRef, refTo } from './object-ref.ts'
import { openApiDocument } from './openapi.ts'
import { applyPatch } from './patches.ts'
import { Registry } from './registry.ts'
import { RequestRouter } from './request-router.ts'
import { ResourceHandler } from './resource-handler.ts'
import { NAMESPACES, SERVICE_CIDRS, type ResourceDefinition, resourceOf, storedFormOf } from './resources.ts'
import { createStandardAdmission } from './standard-admission.ts'
import { badRequest } from './status-errors.ts'
import { Store } from './store.ts'
import { WatchHub } from './watch-hub.ts'

export interface ApiServerOptions {
  /** 127.0.0.1 by default. */
  readonly host?: string
  /** Any free port by default. */
  readonly port?: number
  /** Serve HTTPS with a certificate of a new CA. Off by default. */
  readonly tls?: boolean
  /** Further names and addresses for the certificate. */
  readonly certificateHosts?: readonly string[]
  /** Every request needs this bearer token; without it nobody is asked. */
  readonly token?: string
  /** Store objects exactly as given: no defaults, no validation, no allocation. */
  readonly raw?: boolean
  /** The networks of cluster IPs, the preferred family first; 10.96.0.0/16 by default. They become a ServiceCIDR. */
  readonly serviceCidrs?: readonly string[]
  /** 30000–32767 by default. */
  readonly nodePortRange?: NodePortRange
  /** Run the EndpointSlice and Deployment controllers; on by default, except for raw objects. */
  readonly controllers?: boolean
  /** How long the EndpointSlice controller waits for further changes of Pods; 0 by default. */
  readonly endpointUpdatesBatchMs?: number
  /** Pods keep existing for their grace period, until a kubelet removes them. */
  readonly gracefulPods?: boolean
  /** Offer `sendInitialEvents` (on by default); off is how servers before 1.32 answer. */
  readonly watchList?: boolean
  /** How many past changes can be resumed from; 10,000 by default. */
  readonly historyLimit?: number
  readonly bookmarkIntervalMs?: number
  readonly watchTimeoutSeconds?: number
  readonly log?: Logger
  readonly clock?: Clock
}

/** Answers discovery and OpenAPI paths, with 304 to a client that has the document already. */
function sendDocument(exchange: Exchange): boolean {
  const { pathname } = exchange.url
  const document = discoveryDocument(pathname, exchange.accept) ?? openApiDocument(pathname)
  if (document === undefined) return false
  const headers = { etag: document.etag, vary: 'Accept' }
  if (exchange.request.headers['if-none-match'] === document.etag) {
    exchange.response.writeHead(304, headers).end()
    return true
  }
  exchange.sendText(200, document.body, { ...headers, 'content-type': document.contentType })
  return true
}

const DEFAULT_NODE_PORTS: NodePortRange = { from: 30000, to: 32767 }
const MERGE_PATCH = 'application/merge-patch+json'

function refPath(ref: ObjectRef): RequestTarget {
  return { definition: ref.definition, namespace: ref.namespace, name: ref.name }
}

const FIRST_NAMESPACES = ['default', 'kube-node-lease', 'kube-public', 'kube-system']

export class ApiServer {
  /** Misbehaviour on command. */
  readonly faults: Faults
  readonly registry: Registry
  readonly store: Store
  readonly #options: ApiServerOptions
  readonly #stats = new ClientStats()
  readonly #hub: WatchHub
  readonly #listener: Listener
  readonly #certificate: ServingCertificate | undefined
  readonly #clock: Clock
  readonly #controllers: readonly (EndpointSliceController | DeploymentController)[]
  #running = new AbortController()

  constructor(options: ApiServerOptions = {}) {
    this.#options = options
    this.#clock = options.clock ?? systemClock
    // The time as first revision: a server that lost its data never repeats the revisions of its predecessor.
    this.store = new Store({
      firstRevision: Math.floor(this.#clock.now()),
      historyLimit: options.historyLimit ?? 10_000,
    })
    this.#hub = new WatchHub(this.store)
    this.registry = new Registry({
      store: this.store,
      admission: this.#raw
        ? rawAdmission
        : createStandardAdmission(this.store, options.nodePortRange ?? DEFAULT_NODE_PORTS),
      clock: this.#clock,
      gracefulPods: options.gracefulPods ?? false,
    })
    const { host = '127.0.0.1', port = 0 } = options
    this.#certificate =
      options.tls === true ? createServingCertificate(this.#certificateHosts(), this.#clock.now()) : undefined
    const pages = new ListPages(this.store)
    this.#listener = new Listener({
      host,
      port,
      certificate: this.#certificate,
      handle: (request, response) => void router.handle(request, response),
    })
    const targets = {
      store: this.store,
      pages,
      hub: this.#hub,
      transport: this.#listener,
      clock: this.#clock,
    }
    this.faults = new Faults(targets)
    const router = this.#createRouter(pages)
    this.#createFirstObjects()
    this.#controllers = this.#startControllers()
  }

  async start(): Promise<void> {
    this.#running = new AbortController()
    await this.#listener.listenAgain()
    const intervalMs = this.#options.bookmarkIntervalMs ?? 60_000
    void this.#hub.sendBookmarks({ clock: this.#clock, intervalMs, signal: this.#running.signal })
  }

  /** Closes all connections. The objects stay, and `start()` may be called again (on the same port). */
  async stop(): Promise<void> {
    this.#running.abort()
    await this.#listener.close()
  }

  get url(): string {
    const { host = '127.0.0.1' } = this.#options
    const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
    const authority = reachable.includes(':') ? `[${reachable}]` : reachable
    return `${this.#certificate === undefined ? 'http' : 'https'}://${authority}:${this.#listener.port}`
  }

  /** PEM of the CA that signed the serving certificate; `undefined` without TLS. */
  get caCertificate(): string | undefined {
    return this.#certificate?.ca
  }

  /** A kubeconfig file for this server; `url` where clients reach it by another address. */
  kubeconfig(url: string = this.url): string {
    return renderKubeconfig({ url, ca: this.caCertificate, token: this.#options.token })
  }

  /** Requests and bytes by client. */
  get stats(): Readonly<Record<string, ClientCounts>> {
    return this.#stats.snapshot()
  }

  /** Puts many objects in at once, replacing what is there, without HTTP and without looking for their namespaces. */
  load(objects: Iterable<ApiObject>): void {
    this.store.beginBulk()
    for (const object of objects) {
      const definition = definitionOf(object)
      this.registry.load(definition, storedFormOf(definition, object))
    }
  }

  /** Lets the controllers do at once what they would do at the end of the tick. */
  settle(): void {
    for (const controller of this.#controllers) controller.settle()
  }

  create(object: ApiObject): ApiObject {
    const definition = definitionOf(object)
    return this.registry.create(definition, storedFormOf(definition, object)).object
  }

  update(object: ApiObject, options: { subresource?: 'status' } = {}): ApiObject {
    return this.registry.update(refTo(definitionOf(object), object), object, options).object
  }

  /** Patches an object; a merge patch unless `mediaType` says otherwise. */
  patch(ref: ObjectRef, patch: Json, mediaType: string = MERGE_PATCH): ApiObject {
    const { definition } = ref
    const change = (current: ApiObject): ApiObject =>
      identified(refPath(ref), applyPatch(current, { definition, mediaType, patch }))
    return this.registry.modify(ref, change).object
  }

  get(definition: ResourceDefinition, name: string, namespace?: string): ApiObject {
    return this.registry.get({ definition, name, namespace }).object
  }

  list(definition: ResourceDefinition, namespace?: string): readonly ApiObject[] {
    return this.store.list(definition, namespace).map((entry) => entry.object)
  }

  delete(definition: ResourceDefinition, name: string, namespace?: string): void {
    this.registry.delete({ definition, name, namespace })
  }

  #startControllers(): readonly (EndpointSliceController | DeploymentController)[] {
    if (!(this.#options.controllers ?? !this.#raw)) return []
    const { store, registry } = this
    const parts = { store, registry, clock: this.#clock, log: this.#options.log ?? silentLogger }
    const { endpointUpdatesBatchMs = 0 } = this.#options
    const slices = new EndpointSliceController({ ...parts, endpointUpdatesBatchMs })
    const controllers = [new DeploymentController(parts), slices]
    for (const controller of controllers) controller.start()
    return controllers
  }

  #createRouter(pages: ListPages): RequestRouter {
    const { token, watchList = true, watchTimeoutSeconds = 3600, log = silentLogger } = this.#options
    const resources = new ResourceHandler({
      registry: this.registry,
      store: this.store,
      pages,
      hub: this.#hub,
      clock: this.#clock,
      watchList,
      raw: this.#raw,
      watchTimeoutSeconds,
    })
    return new RequestRouter({
      token,
      faults: this.faults,
      stats: this.#stats,
      resources,
      documents: sendDocument,
      clock: this.#clock,
      log,
    })
  }

  get #raw(): boolean {
    return this.#options.raw ?? false
  }

  #certificateHosts(): readonly string[] {
    const { host = '127.0.0.1', certificateHosts = [] } = this.#options
    const hosts = ['localhost', '127.0.0.1', '::1', hostname(), host, 'kubernetes.default.svc']
    return [...new Set([...hosts, ...certificateHosts])]
  }

  #createFirstObjects(): void {
    for (const name of FIRST_NAMESPACES)
      this.registry.create(NAMESPACES, {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name, labels: { 'kubernetes.io/metadata.name': name } },
        spec: { finalizers: ['kubernetes'] },
        status: { phase: 'Active' },
      })
    const cidrs = this.#options.serviceCidrs ?? ['10.96.0.0/16']
    const now = timestamp(this.#clock.now())
    const ready = { type: 'Ready', status: 'True', lastTransitionTime: now, message: '', reason: '' }
    this.registry.create(SERVICE_CIDRS, {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'ServiceCIDR',
      metadata: { name: 'kubernetes' },
      spec: { cidrs: [...cidrs] },
      status: { conditions: [{ ...ready, message: 'Kubernetes Service CIDR is ready' }] },
    })
  }
}

function definitionOf(object: ApiObject): ResourceDefinition {
  const definition = resourceOf(object)
  if (definition === undefined)
    throw badRequest(`no resource is known for kind "${object.kind}" in version "${object.apiVersion}"`)
  return definition
}
