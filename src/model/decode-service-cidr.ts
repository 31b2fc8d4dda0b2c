/** A ServiceCIDR as the API delivers it → its networks. Bad entries are refused and left out. */
import { type Cidr, parseCidr } from '../net/cidr.ts'
import { asList, asObject, asText } from './json-object.ts'
import { identify, isRejected, Refusals } from './refusals.ts'
import type { Rejected } from './rejected.ts'

export interface DecodedServiceCidr {
  readonly name: string
  readonly cidrs: readonly Cidr[]
  readonly rejected: readonly Rejected[]
}

export function decodeServiceCidr(value: unknown): DecodedServiceCidr | Rejected {
  const identity = identify('ServiceCIDR', value)
  if (isRejected(identity)) return identity
  const refusals = new Refusals(identity)
  const cidrs: Cidr[] = []
  for (const [i, entry] of asList(asObject(asObject(value)['spec'])['cidrs']).entries()) {
    const cidr = parseCidr(asText(entry) ?? '')
    if (cidr !== undefined) cidrs.push(cidr)
    else refusals.refuse(`spec.cidrs[${i}]`, entry, 'is not a network; the entry is left out')
  }
  return { name: identity.name, cidrs, rejected: refusals.list() }
}
