/** A Node as the API delivers it → what a proxy on this node must know of it. Bad parts are refused and left out. */
import { type Cidr, parseCidr } from '../net/cidr.ts'
import { type Family, familyOf, type Ip, parseIp } from '../net/ip.ts'
import { asList, asObject, asText, isAbsent, type JsonObject } from './json-object.ts'
import type { NodeView } from './node-view.ts'
import { identify, isRejected, Refusals } from './refusals.ts'
import type { Rejected } from './rejected.ts'

export interface DecodedNode {
  readonly name: string
  readonly view: Omit<NodeView, 'name' | 'localIps'>
  readonly rejected: readonly Rejected[]
}

const ZONE_LABEL = 'topology.kubernetes.io/zone'
/** The cluster autoscaler is about to remove the node: load balancers should look elsewhere. */
const TO_BE_DELETED_TAINT = 'ToBeDeletedByClusterAutoscaler'

export function decodeNode(value: unknown): DecodedNode | Rejected {
  const identity = identify('Node', value)
  if (isRejected(identity)) return identity
  const refusals = new Refusals(identity)
  const spec = asObject(asObject(value)['spec'])
  const status = asObject(asObject(value)['status'])
  const view = {
    zone: asText(asObject(identity.metadata['labels'])[ZONE_LABEL]) ?? '',
    primaryIps: readPrimaryIps(asList(status['addresses']), refusals),
    podCidrs: readPodCidrs(spec, refusals),
    eligible: isAbsent(identity.metadata['deletionTimestamp']) && !isToBeDeleted(spec),
  }
  return { name: identity.name, view, rejected: refusals.list() }
}

/** Internal addresses come before external ones, whatever their order; host names are no addresses. */
function readPrimaryIps(values: readonly unknown[], refusals: Refusals): Partial<Record<Family, Ip>> {
  const primary: Partial<Record<Family, Ip>> = {}
  for (const type of ['InternalIP', 'ExternalIP'])
    for (const [i, value] of values.entries()) {
      const entry = asObject(value)
      if (entry['type'] !== type) continue
      const ip = parseIp(asText(entry['address']) ?? '')
      if (ip !== undefined) primary[familyOf(ip)] ??= ip
      else
        refusals.refuse(
          `status.addresses[${i}].address`,
          entry['address'],
          'is not an IP address; the entry is left out',
        )
    }
  return primary
}

function readPodCidrs(spec: JsonObject, refusals: Refusals): readonly Cidr[] {
  const listed = asList(spec['podCIDRs'])
  const values =
    listed.length > 0 || isAbsent(spec['podCIDR']) || spec['podCIDR'] === '' ? listed : [spec['podCIDR']]
  const cidrs: Cidr[] = []
  for (const [i, value] of values.entries()) {
    const cidr = parseCidr(asText(value) ?? '')
    if (cidr !== undefined) cidrs.push(cidr)
    else refusals.refuse(`spec.podCIDRs[${i}]`, value, 'is not a network; the entry is left out')
  }
  return cidrs
}

function isToBeDeleted(spec: JsonObject): boolean {
  return asList(spec['taints']).some((taint) => asObject(taint)['key'] === TO_BE_DELETED_TAINT)
}
