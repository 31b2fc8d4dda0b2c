/** Which cluster IPs and node ports are taken and by whom; completes Services with free ones. */
import { type Cidr, cidrContains, cidrFamily } from '../../net/cidr.ts'
import { type Family, parseIp } from '../../net/ip.ts'
import { AddressPool, freePort } from './address-pool.ts'
import { type ApiObject, keyOf } from './api-object.ts'
import { withoutUndefined } from './json.ts'
import { familiesFor } from './ip-families.ts'
import {
  clusterIpsOf,
  isHeadless,
  needsHealthCheckNodePort,
  type ServicePortSpec,
  type ServiceSpec,
  serviceSpecOf,
  usesNodePorts,
} from './service-spec.ts'
import { type FieldProblem } from './status-errors.ts'

export interface NodePortRange {
  readonly from: number
  readonly to: number
}

export interface AllocationOptions {
  /** The Service CIDRs in force, in order of preference. */
  readonly cidrs: () => readonly Cidr[]
  readonly nodePortRange: NodePortRange
}

/** A Service with everything allocated, or why that is not possible. */
export interface Completed {
  readonly service: ApiObject
  readonly problems: readonly FieldProblem[]
}

export class ServiceAllocations {
  readonly #options: AllocationOptions
  readonly #ownersByIp = new Map<string, string>()
  readonly #ownersByPort = new Map<number, string>()
  readonly #poolsByCidr = new Map<Cidr, AddressPool>()

  constructor(options: AllocationOptions) {
    this.#options = options
  }

  /** Nothing is taken until the result is stored and `track()` told. */
  complete(service: ApiObject): Completed {
    const spec = serviceSpecOf(service)
    if (spec.type === 'ExternalName') return { service, problems: [] }
    const problems: FieldProblem[] = []
    const addressed = this.#withClusterIps(keyOf(service), spec, problems)
    const ported = this.#withNodePorts(keyOf(service), addressed, problems)
    return { service: { ...service, spec: withoutUndefined(ported) }, problems }
  }

  track(previous: ApiObject | undefined, next: ApiObject | undefined): void {
    if (previous !== undefined) {
      const { ips, ports } = claimsOf(previous)
      for (const ip of ips) this.#ownersByIp.delete(ip)
      for (const port of ports) this.#ownersByPort.delete(port)
    }
    if (next === undefined) return
    const { ips, ports } = claimsOf(next)
    for (const ip of ips) this.#ownersByIp.set(ip, keyOf(next))
    for (const port of ports) this.#ownersByPort.set(port, keyOf(next))
  }

  #withClusterIps(owner: string, spec: ServiceSpec, problems: FieldProblem[]): ServiceSpec {
    const { ipFamilies, ipFamilyPolicy, problem } = familiesFor(spec, this.#families())
    if (problem !== undefined) problems.push(problem)
    if (isHeadless(spec))
      return { ...spec, ipFamilies, ipFamilyPolicy, clusterIP: 'None', clusterIPs: ['None'] }
    const given = clusterIpsOf(spec)
    const clusterIPs: string[] = []
    for (const [i, family] of ipFamilies.entries()) {
      const wanted = given[i]
      const ip = wanted === undefined ? this.#freeIp(family, clusterIPs) : wanted
      if (ip === undefined) problems.push(ipProblem(given, 'failed to allocate a serviceIP: range is full'))
      else clusterIPs.push(ip)
      if (wanted !== undefined) problems.push(...this.#judgeIp(owner, wanted, given))
    }
    const [clusterIP = ''] = clusterIPs
    return { ...spec, ipFamilies, ipFamilyPolicy, clusterIP, clusterIPs }
  }

  #families(): readonly Family[] {
    return [...new Set(this.#options.cidrs().map(cidrFamily))]
  }

  #freeIp(family: Family, chosen: readonly string[]): string | undefined {
    for (const cidr of this.#options.cidrs()) {
      if (cidrFamily(cidr) !== family) continue
      const ip = this.#pool(cidr).free((one) => this.#ownersByIp.has(one) || chosen.includes(one))
      if (ip !== undefined) return ip
    }
    return undefined
  }

  #pool(cidr: Cidr): AddressPool {
    const pool = this.#poolsByCidr.get(cidr) ?? new AddressPool(cidr)
    this.#poolsByCidr.set(cidr, pool)
    return pool
  }

  #judgeIp(owner: string, text: string, given: readonly string[]): readonly FieldProblem[] {
    const ip = parseIp(text)
    // What is no address at all is the business of validation.
    if (ip === undefined) return []
    const holder = this.#ownersByIp.get(ip)
    if (holder !== undefined && holder !== owner)
      return [ipProblem(given, `failed to allocate IP ${ip}: provided IP is already allocated`)]
    const cidrs = this.#options.cidrs()
    if (holder === owner || cidrs.some((cidr) => cidrContains(cidr, ip))) return []
    const ranges = cidrs.join(', ')
    return [
      ipProblem(
        given,
        `failed to allocate IP ${ip}: provided IP is not in the valid range. The range of valid IPs is ${ranges}`,
      ),
    ]
  }

  #withNodePorts(owner: string, spec: ServiceSpec, problems: FieldProblem[]): ServiceSpec {
    const { ports: given = [] } = spec
    const chosen = new Set(given.map((port) => port.nodePort ?? 0))
    const ports: ServicePortSpec[] = []
    for (const [i, port] of given.entries()) {
      const { nodePort = 0 } = port
      if (nodePort !== 0) problems.push(...this.#judgePort(owner, nodePort, `spec.ports[${i}].nodePort`))
      const needsOne = nodePort === 0 && usesNodePorts(spec)
      ports.push(needsOne ? { ...port, ...this.#freeNodePort(port, { ports, chosen, problems }) } : port)
    }
    const healthCheckNodePort = this.#healthCheckNodePort(owner, spec, { chosen, problems })
    return {
      ...spec,
      ports: spec.ports === undefined ? undefined : ports,
      healthCheckNodePort,
    } as ServiceSpec
  }

  #healthCheckNodePort(
    owner: string,
    spec: ServiceSpec,
    state: { readonly chosen: ReadonlySet<number>; readonly problems: FieldProblem[] },
  ): number | undefined {
    const { healthCheckNodePort = 0 } = spec
    if (healthCheckNodePort !== 0) {
      state.problems.push(...this.#judgePort(owner, healthCheckNodePort, 'spec.healthCheckNodePort'))
      return healthCheckNodePort
    }
    return needsHealthCheckNodePort(spec) ? this.#freePort(state.chosen) : undefined
  }

  /** TCP and UDP of one port number share their node port, as in Kubernetes (DNS is served that way). */
  #freeNodePort(
    port: ServicePortSpec,
    state: { ports: readonly ServicePortSpec[]; chosen: Set<number>; problems: FieldProblem[] },
  ): { nodePort?: number } {
    const { ports, chosen, problems } = state
    const twin = ports.find((other) => other.port === port.port && other.protocol !== port.protocol)
    const nodePort = twin?.nodePort ?? this.#freePort(chosen)
    if (nodePort === undefined) {
      problems.push(portProblem('spec.ports', port.port, 'failed to allocate a nodePort: range is full'))
      return {}
    }
    chosen.add(nodePort)
    return { nodePort }
  }

  #freePort(chosen: ReadonlySet<number>): number | undefined {
    return freePort(this.#options.nodePortRange, (port) => this.#ownersByPort.has(port) || chosen.has(port))
  }

  #judgePort(owner: string, port: number, field: string): readonly FieldProblem[] {
    const holder = this.#ownersByPort.get(port)
    if (holder === owner) return []
    if (holder !== undefined) return [portProblem(field, port, 'provided port is already allocated')]
    const { from, to } = this.#options.nodePortRange
    if (port >= from && port <= to) return []
    return [
      portProblem(
        field,
        port,
        `provided port is not in the valid range. The range of valid ports is ${from}-${to}`,
      ),
    ]
  }
}

function claimsOf(service: ApiObject): {
  readonly ips: readonly string[]
  readonly ports: readonly number[]
} {
  const spec = serviceSpecOf(service)
  const nodePorts = (spec.ports ?? []).map((port) => port.nodePort ?? 0)
  return {
    ips: clusterIpsOf(spec).flatMap((text) => parseIp(text) ?? []),
    ports: [...nodePorts, spec.healthCheckNodePort ?? 0].filter((port) => port !== 0),
  }
}

function ipProblem(given: readonly string[], why: string): FieldProblem {
  return {
    reason: 'FieldValueInvalid',
    field: 'spec.clusterIPs',
    message: `Invalid value: ${JSON.stringify(given)}: ${why}`,
  }
}

function portProblem(field: string, port: number, why: string): FieldProblem {
  return { reason: 'FieldValueInvalid', field, message: `Invalid value: ${port}: ${why}` }
}
