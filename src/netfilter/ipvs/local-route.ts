/**
 * What makes an address local without being on an interface: a `local` route on a dummy device. Other daemons do not
 * mistake it for one of the node's addresses, thousands of them cost little, and `src` says which address the node
 * itself uses towards it.
 */
import type { Ip } from '../../net/ip.ts'

export interface LocalRoute {
  readonly kind: 'local-route'
  readonly key: string
  /** `via route src 10.0.0.1`; a text of its own for addresses that are bound to the device itself. */
  readonly text: string
  readonly ip: Ip
  readonly source: Ip | undefined
}

/** An address on the device, as kube-proxy puts them there; only ever observed. */
export interface BoundAddress {
  readonly kind: 'bound-address'
  readonly key: string
  readonly text: 'bound'
  readonly ip: Ip
}

export function localRoute(ip: Ip, source: Ip | undefined): LocalRoute {
  const text = source === undefined ? 'via route' : `via route src ${source}`
  return { kind: 'local-route', key: `local ${ip}`, text, ip, source }
}

export function boundAddress(ip: Ip): BoundAddress {
  return { kind: 'bound-address', key: `bound ${ip}`, text: 'bound', ip }
}

/** The dummy device that the routes are on. */
export interface DummyDevice {
  readonly kind: 'device'
  readonly key: string
  readonly text: 'up'
  readonly name: string
}

export function dummyDevice(name: string): DummyDevice {
  return { kind: 'device', key: `device ${name}`, text: 'up', name }
}
