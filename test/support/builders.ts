/**
 * API objects by hand, as the API server would deliver them.
 *
 * `aService('ns/web').clusterIp('172.30.0.1').port(80, { nodePort: 30080 }).build()`,
 * `aSlice('ns/web').port(8080).endpoint('10.0.0.1', { on: 'node-a' }).build()`; every call returns a new builder.
 */
import type { Protocol } from '../../src/net/protocol.ts'
import type { ApiObject } from '../conformance/conformance-case.ts'

const CREATED = '2026-01-01T00:00:00Z'

interface ServiceFields {
  readonly metadata: Readonly<Record<string, unknown>>
  readonly spec: Readonly<Record<string, unknown>>
  readonly ingress: readonly unknown[]
  readonly ports: readonly unknown[]
}

export class ServiceBuilder {
  readonly #fields: ServiceFields

  constructor(fields: ServiceFields) {
    this.#fields = fields
  }

  build(): ApiObject {
    const { metadata, spec, ingress, ports } = this.#fields
    return {
      kind: 'Service',
      apiVersion: 'v1',
      metadata,
      spec: { ...spec, ports },
      status: { loadBalancer: { ingress } },
    }
  }

  /** Fields of `spec` as they are. */
  with(spec: Readonly<Record<string, unknown>>): ServiceBuilder {
    return new ServiceBuilder({ ...this.#fields, spec: { ...this.#fields.spec, ...spec } })
  }

  /** One address of each family, the first being the primary one. */
  clusterIp(...ips: readonly string[]): ServiceBuilder {
    const ipFamilies = ips.map((ip) => (ip.includes(':') ? 'IPv6' : 'IPv4'))
    return this.with({ clusterIP: ips[0], clusterIPs: ips, ipFamilies })
  }

  port(
    port: number,
    more: { readonly name?: string; readonly protocol?: Protocol; readonly nodePort?: number } = {},
  ): ServiceBuilder {
    const entry = { name: '', protocol: 'TCP', targetPort: port, ...more, port }
    return new ServiceBuilder({ ...this.#fields, ports: [...this.#fields.ports, entry] })
  }

  nodePort(port: number, nodePort: number, protocol: Protocol = 'TCP'): ServiceBuilder {
    return this.with({ type: 'NodePort' }).port(port, { nodePort, protocol })
  }

  externalIp(...ips: readonly string[]): ServiceBuilder {
    return this.with({ externalIPs: ips })
  }

  loadBalancer(...ingress: readonly (string | Readonly<Record<string, unknown>>)[]): ServiceBuilder {
    const entries = ingress.map((one) => (typeof one === 'string' ? { ip: one, ipMode: 'VIP' } : one))
    return new ServiceBuilder({
      ...this.#fields,
      spec: { ...this.#fields.spec, type: 'LoadBalancer' },
      ingress: [...this.#fields.ingress, ...entries],
    })
  }

  sourceRanges(...ranges: readonly string[]): ServiceBuilder {
    return this.with({ loadBalancerSourceRanges: ranges })
  }

  externalLocal(healthCheckNodePort?: number): ServiceBuilder {
    return this.with({ externalTrafficPolicy: 'Local', healthCheckNodePort })
  }

  internalLocal(): ServiceBuilder {
    return this.with({ internalTrafficPolicy: 'Local' })
  }

  affinity(timeoutSeconds: number): ServiceBuilder {
    return this.with({ sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds } } })
  }

  createdAt(creationTimestamp: string): ServiceBuilder {
    return this.#metadata({ creationTimestamp })
  }

  /** `fairlead.io/<name>`. */
  wish(name: string, value: string): ServiceBuilder {
    const annotations = {
      ...(this.#fields.metadata['annotations'] as object),
      [`fairlead.io/${name}`]: value,
    }
    return this.#metadata({ annotations })
  }

  label(name: string, value: string): ServiceBuilder {
    return this.#metadata({ labels: { ...(this.#fields.metadata['labels'] as object), [name]: value } })
  }

  #metadata(more: Readonly<Record<string, unknown>>): ServiceBuilder {
    return new ServiceBuilder({ ...this.#fields, metadata: { ...this.#fields.metadata, ...more } })
  }
}

/** A ClusterIP Service without address and ports. `name`: `namespace/name`. */
export function aService(name: string): ServiceBuilder {
  return new ServiceBuilder({
    metadata: { ...nameOf(name), uid: `uid-${name.replace('/', '-')}`, creationTimestamp: CREATED },
    spec: { type: 'ClusterIP', internalTrafficPolicy: 'Cluster', sessionAffinity: 'None' },
    ingress: [],
    ports: [],
  })
}

export interface EndpointChoices {
  /** Name of the node it runs on. */
  readonly on?: string
  readonly ready?: boolean
  readonly serving?: boolean
  readonly terminating?: boolean
  readonly zones?: readonly string[]
  readonly nodes?: readonly string[]
}

interface SliceFields {
  readonly metadata: Readonly<Record<string, unknown>>
  readonly ports: readonly unknown[]
  readonly endpoints: readonly unknown[]
  readonly addressType: string
}

export class SliceBuilder {
  readonly #fields: SliceFields

  constructor(fields: SliceFields) {
    this.#fields = fields
  }

  build(): ApiObject {
    return { kind: 'EndpointSlice', apiVersion: 'discovery.k8s.io/v1', ...this.#fields }
  }

  port(port: number, more: { readonly name?: string; readonly protocol?: Protocol } = {}): SliceBuilder {
    const entry = { name: '', protocol: 'TCP', ...more, port }
    return new SliceBuilder({ ...this.#fields, ports: [...this.#fields.ports, entry] })
  }

  /** Ready and serving unless said otherwise. The first address decides about the family of the slice. */
  endpoint(ip: string, choices: EndpointChoices = {}): SliceBuilder {
    const { on, ready = true, serving = ready, terminating = false, zones, nodes } = choices
    const hints = {
      ...(zones && { forZones: zones.map((name) => ({ name })) }),
      ...(nodes && { forNodes: nodes.map((name) => ({ name })) }),
    }
    const entry = {
      addresses: [ip],
      conditions: { ready, serving, terminating },
      ...(on === undefined ? {} : { nodeName: on }),
      ...(Object.keys(hints).length === 0 ? {} : { hints }),
    }
    const addressType = ip.includes(':') ? 'IPv6' : 'IPv4'
    return new SliceBuilder({ ...this.#fields, addressType, endpoints: [...this.#fields.endpoints, entry] })
  }

  annotation(name: string, value: string): SliceBuilder {
    return new SliceBuilder({
      ...this.#fields,
      metadata: { ...this.#fields.metadata, annotations: { [name]: value } },
    })
  }
}

/** A slice of the Service `namespace/name`, itself called `name-suffix`. */
export function aSlice(service: string, suffix = '1'): SliceBuilder {
  const { namespace, name } = nameOf(service)
  return new SliceBuilder({
    metadata: { namespace, name: `${name}-${suffix}`, labels: { 'kubernetes.io/service-name': name } },
    ports: [],
    endpoints: [],
    addressType: 'IPv4',
  })
}

function nameOf(text: string): { namespace: string; name: string } {
  const [namespace = '', name = ''] = text.split('/')
  return { namespace, name }
}
