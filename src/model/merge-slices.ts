/**
 * All slices of one Service → the endpoints of each of its ports. The same address and port can be listed more than
 * once (a pod's address reused while the old pod is still terminating, a controller moving endpoints between slices):
 * the best of the duplicates counts, and the answer does not depend on the order in which the slices arrived.
 */
import { type Family, hostPort } from '../net/ip.ts'
import type { DecodedSlice, SliceEndpoint } from './decode-endpoint-slice.ts'
import { servicePortKey } from './decode-service.ts'
import type { Endpoint } from './endpoint.ts'
import type { ServiceKey, ServicePortKey } from './service-port.ts'

/** Endpoint lists of one Service and family, each sorted by `ip:port` text and not empty. */
export type ServiceEndpoints = ReadonlyMap<ServicePortKey, readonly Endpoint[]>

export function mergeSlices(
  service: ServiceKey,
  slices: Iterable<DecodedSlice>,
): Readonly<Record<Family, ServiceEndpoints>> {
  const ordered = [...slices].sort((a, b) => compareText(a.slice, b.slice))
  return { IPv4: mergeFamily(service, ordered, 'IPv4'), IPv6: mergeFamily(service, ordered, 'IPv6') }
}

function mergeFamily(service: ServiceKey, slices: readonly DecodedSlice[], family: Family): ServiceEndpoints {
  const byPort = new Map<ServicePortKey, Map<string, Endpoint>>()
  for (const slice of slices) {
    if (slice.family !== family) continue
    for (const { name, protocol, port } of slice.ports) {
      const key = servicePortKey(service, name, protocol)
      const merged = byPort.get(key) ?? new Map<string, Endpoint>()
      byPort.set(key, merged)
      mergeEndpoints(merged, slice.endpoints, port)
    }
  }
  const sorted = new Map<ServicePortKey, readonly Endpoint[]>()
  for (const [key, merged] of byPort) {
    if (merged.size === 0) continue
    const entries = [...merged].sort(([a], [b]) => compareText(a, b))
    sorted.set(
      key,
      entries.map(([, endpoint]) => endpoint),
    )
  }
  return sorted
}

function mergeEndpoints(
  into: Map<string, Endpoint>,
  endpoints: readonly SliceEndpoint[],
  port: number,
): void {
  for (const endpoint of endpoints) {
    const text = hostPort(endpoint.ip, port)
    const known = into.get(text)
    if (known === undefined || isBetter(endpoint, known)) into.set(text, withPort(endpoint, port))
  }
}

/** Spelt out: a spread of an object this small costs several times as much, and there are hundreds of thousands. */
function withPort(endpoint: SliceEndpoint, port: number): Endpoint {
  return {
    ip: endpoint.ip,
    port,
    nodeName: endpoint.nodeName,
    ready: endpoint.ready,
    serving: endpoint.serving,
    terminating: endpoint.terminating,
    zoneHints: endpoint.zoneHints,
    nodeHints: endpoint.nodeHints,
    weight: endpoint.weight,
  }
}

/** Not terminating beats terminating, then ready, then serving; otherwise the first slice by name holds. */
function isBetter(candidate: SliceEndpoint, known: Endpoint): boolean {
  if (candidate.terminating !== known.terminating) return !candidate.terminating
  if (candidate.ready !== known.ready) return candidate.ready
  return candidate.serving && !known.serving
}

/** By UTF-16 unit, as `<` does: the same everywhere, whatever the locale. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
