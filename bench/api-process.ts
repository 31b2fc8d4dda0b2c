/**
 * The API server of a bed, in a process and namespace of its own, so that its work is not counted as anybody's. Takes
 * commands as JSON lines on standard input and answers each with one; ends when its input closes.
 */
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiServer } from '../src/lab/api-server/api-server.ts'
import type { ApiObject } from '../src/lab/api-server/api-object.ts'
import { ENDPOINT_SLICES, NODES, SERVICES } from '../src/lab/api-server/resources.ts'
import type { ClientCounts } from '../src/lab/api-server/client-stats.ts'
import {
  changed,
  clusterObjects,
  type ClusterSize,
  endpointIp,
  NAMESPACE,
  replacementIp,
  SERVICE_CIDR,
  sliceObject,
  sliceOf,
} from './cluster.ts'

export interface Pace {
  readonly count: number
  readonly perSecond: number
  readonly first: number
}

export interface ApiCommands {
  load: { takes: ClusterSize; gives: { objects: number } }
  /** Replaces one endpoint by a new one. `atNs`: monotonic clock just before the change was stored. */
  replace: { takes: { service: number; slot: number; ip: string }; gives: { atNs: string } }
  /** Replaces endpoints of all Services in turn at this pace, by the replacement addresses from `first` on. */
  replaceMany: { takes: Pace; gives: null }
  /** Stores these objects, whether they are there or not, and deletes those. */
  store: {
    takes: {
      put: readonly ApiObject[]
      remove: readonly { kind: 'Service' | 'EndpointSlice'; name: string }[]
    }
    gives: null
  }
  stats: { takes: null; gives: Readonly<Record<string, ClientCounts>> }
  /** Nobody is answered for so long; the data stay. */
  pause: { takes: { ms: number }; gives: null }
  kubeconfig: { takes: null; gives: string }
}

/** The present endpoint addresses; only those that differ from the start are kept. */
class Cluster {
  readonly size: ClusterSize
  readonly #server: ApiServer
  readonly #replaced = new Map<string, string>()

  constructor(size: ClusterSize, server: ApiServer) {
    this.size = size
    this.#server = server
  }

  load(): number {
    let objects = 0
    const counted = function* (all: Iterable<ApiObject>): Generator<ApiObject> {
      for (const object of all) {
        objects++
        yield object
      }
    }
    this.#server.load(counted(clusterObjects(this.size)))
    return objects
  }

  replace(service: number, slot: number, ip: string): { atNs: string } {
    this.#replaced.set(`${service} ${slot}`, ip)
    const object = sliceObject(
      this.size,
      { service, slice: sliceOf(slot) },
      (at) => this.#replaced.get(`${service} ${at}`) ?? endpointIp(this.size, service, at),
    )
    const atNs = process.hrtime.bigint().toString()
    this.#server.update(object)
    return { atNs }
  }

  async replaceMany({ count, perSecond, first }: Pace): Promise<null> {
    const startMs = performance.now()
    // Those that somebody is watching are left to the watcher.
    const watched = new Set(Object.values(changed(this.size)))
    for (let n = 0; n < count; n++) {
      const dueMs = startMs + (n * 1000) / perSecond
      const early = dueMs - performance.now()
      if (early > 1) await sleep(early)
      const service = (n * 7919) % this.size.services
      if (!watched.has(service)) this.replace(service, n % this.size.endpoints, replacementIp(first + n))
    }
    return null
  }
}

function storeObject(server: ApiServer, object: ApiObject): void {
  const { name, namespace } = object.metadata
  const definition = { Service: SERVICES, EndpointSlice: ENDPOINT_SLICES, Node: NODES }[object.kind]
  if (definition === undefined) throw new Error(`Cannot store the kind ${object.kind}: nobody asks for it`)
  if (server.registry.find({ definition, name, namespace }) === undefined) server.create(object)
  else server.update(object)
}

async function main([host = '']: readonly string[]): Promise<void> {
  const server = new ApiServer({
    host,
    port: 6443,
    tls: true,
    token: 'bench',
    raw: true,
    serviceCidrs: [SERVICE_CIDR],
  })
  await server.start()
  let cluster: Cluster | undefined
  const loaded = (): Cluster => {
    if (cluster === undefined) throw new Error('Cannot change the cluster: nothing is loaded')
    return cluster
  }
  const actions: { [K in keyof ApiCommands]: (value: ApiCommands[K]['takes']) => unknown } = {
    load: (size) => {
      cluster = new Cluster(size, server)
      return { objects: cluster.load() }
    },
    replace: ({ service, slot, ip }) => loaded().replace(service, slot, ip),
    replaceMany: async (pace) => loaded().replaceMany(pace),
    store: ({ put, remove }) => {
      for (const object of put) storeObject(server, object)
      for (const { kind, name } of remove)
        server.delete(kind === 'Service' ? SERVICES : ENDPOINT_SLICES, name, NAMESPACE)
      return null
    },
    stats: () => server.stats,
    pause: async ({ ms }) => {
      await server.stop()
      await sleep(ms)
      await server.start()
      return null
    },
    kubeconfig: () => server.kubeconfig(),
  }
  const lines = createInterface({ input: process.stdin })
  process.stdout.write('{"id":0,"result":"ready"}\n')
  for await (const line of lines) {
    const { id, op, value } = JSON.parse(line) as { id: number; op: keyof ApiCommands; value: never }
    void answer(id, () => actions[op](value))
  }
  process.exit(0)
}

/** Not awaited: replies come in the order in which the work is done. */
async function answer(id: number, action: () => unknown): Promise<void> {
  let reply
  try {
    reply = { id, result: await action() }
  } catch (error) {
    reply = { id, error: String(error) }
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`)
}

await main(process.argv.slice(2))
