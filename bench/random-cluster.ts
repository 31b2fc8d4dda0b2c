/**
 * A cluster in which everything changes at random: Services with all that they can ask for, slices, endpoints, the
 * Node. The same seed gives the same changes. Pure; what became of an object is told as what to store or to delete.
 */
import type { ApiObject } from '../src/lab/api-server/api-object.ts'
import { NAMESPACE, NODE_IP, NODE_NAME } from './cluster.ts'

export interface ClusterChange {
  /** For people: `service-0007: endpoints`. */
  readonly what: string
  readonly put: readonly ApiObject[]
  readonly remove: readonly { readonly kind: 'Service' | 'EndpointSlice'; readonly name: string }[]
}

interface Endpoint {
  readonly host: number
  readonly state: 'ready' | 'unready' | 'draining' | 'gone'
  readonly local: boolean
  readonly zone: string | undefined
}

interface RandomService {
  readonly index: number
  /** Grows when the Service is deleted and created anew. */
  readonly generation: number
  readonly kind: 'ClusterIP' | 'NodePort' | 'LoadBalancer'
  readonly dualStack: boolean
  readonly ports: readonly { readonly protocol: 'TCP' | 'UDP'; readonly number: number }[]
  readonly internalLocal: boolean
  readonly externalLocal: boolean
  readonly affinitySeconds: number | undefined
  readonly sourceRanges: readonly string[]
  readonly externalIp: boolean
  readonly foreign: boolean
  readonly annotations: Readonly<Record<string, string>>
  readonly endpoints: readonly Endpoint[]
  readonly slices: number
}

const ZONES = ['zone-a', 'zone-b', undefined] as const
const WISHES: readonly Readonly<Record<string, string>>[] = [
  {},
  {},
  { 'fairlead.io/algorithm': 'source-hash' },
  { 'fairlead.io/algorithm': 'least-connection' },
  { 'fairlead.io/weights': `${NODE_NAME}=200` },
  { 'fairlead.io/on-endpoint-removal': 'drain=2s' },
  { 'fairlead.io/source-ranges-on-nodeport': 'true' },
  { 'fairlead.io/ip-mode': 'proxy' },
]

export class RandomCluster {
  readonly #random: () => number
  readonly #services: RandomService[]
  readonly #absent = new Set<number>()
  #zone: string | undefined = 'zone-a'

  constructor(size: number, seed: number) {
    this.#random = mulberry32(seed)
    this.#services = Array.from({ length: size }, (_, index) => this.#newService(index, 0))
  }

  /** Everything as it is now. */
  objects(): ApiObject[] {
    const present = this.#services.filter(({ index }) => !this.#absent.has(index))
    return [this.#node(), ...present.flatMap((service) => [serviceObject(service), ...slicesOf(service)])]
  }

  /** The next change, which has happened when this returns. */
  change(): ClusterChange {
    const index = this.#below(this.#services.length)
    const before = this.#services[index]
    const roll = this.#random()
    if (before === undefined || roll < 0.003) return this.#moveNode()
    if (this.#absent.has(index)) return this.#bringBack(before)
    if (roll < 0.05) return this.#takeAway(before)
    const { what, after } = roll < 0.7 ? this.#withEndpoints(before) : this.#withSettings(before)
    this.#services[index] = after
    const slices = slicesOf(after)
    const names = new Set(slices.map(nameOf))
    const left = slicesOf(before)
      .map(nameOf)
      .filter((name) => !names.has(name))
    return {
      what: `${nameOf(serviceObject(after))}: ${what}`,
      put: [serviceObject(after), ...slices],
      remove: left.map((name) => ({ kind: 'EndpointSlice', name })),
    }
  }

  #moveNode(): ClusterChange {
    this.#zone = this.#one(ZONES)
    return { what: `zone ${this.#zone ?? 'none'}`, put: [this.#node()], remove: [] }
  }

  #takeAway(service: RandomService): ClusterChange {
    this.#absent.add(service.index)
    const remove = slicesOf(service).map((slice) => ({ kind: 'EndpointSlice' as const, name: nameOf(slice) }))
    const name = nameOf(serviceObject(service))
    return { what: `${name}: deleted`, put: [], remove: [{ kind: 'Service', name }, ...remove] }
  }

  #bringBack(before: RandomService): ClusterChange {
    const service = this.#newService(before.index, before.generation + 1)
    this.#services[before.index] = service
    this.#absent.delete(before.index)
    const put = [serviceObject(service), ...slicesOf(service)]
    return { what: `${nameOf(serviceObject(service))}: created anew`, put, remove: [] }
  }

  #withEndpoints(service: RandomService): { what: string; after: RandomService } {
    const kept = service.endpoints.filter(() => this.#random() < 0.8)
    const added = Array.from({ length: this.#below(4) }, () => this.#newEndpoint())
    const endpoints = [...kept, ...added]
      .slice(0, 12)
      .map((one) => (this.#random() < 0.2 ? { ...one, state: this.#newState() } : one))
    const slices = this.#random() < 0.1 ? 1 + this.#below(3) : service.slices
    return { what: 'endpoints', after: { ...service, endpoints, slices } }
  }

  #withSettings(service: RandomService): { what: string; after: RandomService } {
    const anew = this.#newService(service.index, service.generation)
    const field = this.#one([
      'kind',
      'ports',
      'internalLocal',
      'externalLocal',
      'affinitySeconds',
      'sourceRanges',
      'externalIp',
      'foreign',
      'annotations',
    ] as const)
    return { what: field, after: { ...service, [field]: anew[field] } }
  }

  #newService(index: number, generation: number): RandomService {
    return {
      index,
      generation,
      kind: this.#one(['ClusterIP', 'ClusterIP', 'NodePort', 'LoadBalancer'] as const),
      dualStack: this.#random() < 0.3,
      ports: this.#one([
        [{ protocol: 'TCP', number: 80 }],
        [{ protocol: 'TCP', number: 443 }],
        [
          { protocol: 'TCP', number: 53 },
          { protocol: 'UDP', number: 53 },
        ],
      ] as const),
      internalLocal: this.#random() < 0.1,
      externalLocal: this.#random() < 0.3,
      affinitySeconds: this.#random() < 0.15 ? 60 + this.#below(600) : undefined,
      sourceRanges: this.#random() < 0.2 ? [`203.0.${this.#below(200)}.0/24`, '2001:db8::/32'] : [],
      externalIp: this.#random() < 0.1,
      foreign: this.#random() < 0.03,
      annotations: this.#one(WISHES),
      // As many as changes lead to, so that the cluster as a whole does not grow.
      endpoints: Array.from({ length: 4 + this.#below(8) }, () => this.#newEndpoint()),
      slices: 1,
    }
  }

  #newEndpoint(): Endpoint {
    const zone = this.#random() < 0.3 ? this.#one(ZONES) : undefined
    return { host: this.#below(60_000), state: this.#newState(), local: this.#random() < 0.2, zone }
  }

  #newState(): Endpoint['state'] {
    return this.#one(['ready', 'ready', 'ready', 'ready', 'unready', 'draining', 'gone'] as const)
  }

  #node(): ApiObject {
    return {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: NODE_NAME,
        labels: this.#zone === undefined ? {} : { 'topology.kubernetes.io/zone': this.#zone },
      },
      spec: {},
      status: { addresses: [{ type: 'InternalIP', address: NODE_IP }] },
    }
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  #one<T>(choices: readonly T[]): T {
    return choices[this.#below(choices.length)] as T
  }
}

function serviceObject(service: RandomService): ApiObject {
  const { index, generation, kind, dualStack, ports } = service
  const pair = `${index >> 8}.${index & 255}`
  const clusterIPs = [`172.30.${pair}`, ...(dualStack ? [`fd00:30::${(index + 1).toString(16)}`] : [])]
  const external = kind !== 'ClusterIP'
  const externalIPs = service.externalIp ? [`198.18.${pair}`] : []
  // Nobody makes the times of two Services differ, so conflicts of external IPs (there are some) go by name.
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: serviceName(index),
      namespace: NAMESPACE,
      uid: `service-${index}-${generation}`,
      labels: service.foreign ? { 'service.kubernetes.io/service-proxy-name': 'other' } : {},
      annotations: service.annotations,
    },
    spec: {
      type: kind,
      clusterIP: clusterIPs[0],
      clusterIPs,
      ipFamilies: dualStack ? ['IPv4', 'IPv6'] : ['IPv4'],
      internalTrafficPolicy: service.internalLocal ? 'Local' : 'Cluster',
      ...(external || service.externalIp
        ? { externalTrafficPolicy: service.externalLocal ? 'Local' : 'Cluster' }
        : {}),
      ...(service.affinitySeconds === undefined
        ? { sessionAffinity: 'None' }
        : {
            sessionAffinity: 'ClientIP',
            sessionAffinityConfig: { clientIP: { timeoutSeconds: service.affinitySeconds } },
          }),
      ...(kind === 'LoadBalancer' ? { loadBalancerSourceRanges: service.sourceRanges } : {}),
      externalIPs,
      ports: ports.map(({ protocol, number }) => ({
        name: protocol.toLowerCase(),
        protocol,
        port: number,
        targetPort: number + 8000,
        ...(external ? { nodePort: 20_000 + index * 2 } : {}),
      })),
    },
    status: {
      loadBalancer: kind === 'LoadBalancer' ? { ingress: [{ ip: `198.19.${pair}`, ipMode: 'VIP' }] } : {},
    },
  }
}

function slicesOf(service: RandomService): ApiObject[] {
  const families = service.dualStack ? (['IPv4', 'IPv6'] as const) : (['IPv4'] as const)
  return families.flatMap((family) =>
    Array.from({ length: service.slices }, (_, n) => sliceObject(service, family, n)),
  )
}

function sliceObject(service: RandomService, family: 'IPv4' | 'IPv6', n: number): ApiObject {
  const name = serviceName(service.index)
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-${family.toLowerCase()}-${n}`,
      namespace: NAMESPACE,
      labels: { 'kubernetes.io/service-name': name },
    },
    addressType: family,
    ports: service.ports.map(({ protocol, number }) => ({
      name: protocol.toLowerCase(),
      protocol,
      port: number + 8000,
    })),
    endpoints: service.endpoints
      .filter((_, i) => i % service.slices === n)
      .map(({ host, state, local, zone }) => ({
        addresses: [family === 'IPv4' ? `10.1.${host >> 8}.${host & 255}` : `fd00:10::${host.toString(16)}`],
        conditions: {
          ready: state === 'ready',
          serving: state === 'ready' || state === 'draining',
          terminating: state === 'draining' || state === 'gone',
        },
        nodeName: local ? NODE_NAME : 'other-node',
        ...(zone === undefined ? {} : { hints: { forZones: [{ name: zone }] } }),
      })),
  }
}

function serviceName(index: number): string {
  return `service-${String(index).padStart(4, '0')}`
}

function nameOf({ metadata }: ApiObject): string {
  return (metadata as { readonly name: string }).name
}

/** A small random number generator with a seed (32 bits of state), so that a failed run can be repeated. */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
