/**
 * What the versions of nft can be told.
 *
 * From 1.0.6 on a drawn number can stand in the key of a map, and a value can have several fields whatever the key has.
 * Before (read in 1.0.2, tried with 0.9.8) a number in a key is refused, because it has a type of no fixed size; so the
 * packet carries it: its priority is the one field of 32 bits that nobody needs between the nat hook and the next one.
 * Addresses and ports of endpoints are in two maps, and what expires is a set beside the map of session affinity, since
 * the timeout of an `update @map` got lost.
 */
import type { Target } from '../../forwarding/forwarding.ts'
import {
  type ContainerObject,
  type ElementObject,
  type Rule,
  aContainer,
  anElement,
} from '../../netfilter/nftables/ruleset.ts'
import { OLDEST_NFT_WITH_NUMBERS_IN_KEYS, isOlder } from '../../netfilter/versions.ts'
import type { Protocol } from '../../net/protocol.ts'
import * as names from './names.ts'
import { type Words, affinityKeyOf, endpointKeyOf } from './plan-words.ts'

/** The map, or the two maps, in which an endpoint stands. */
export interface EndpointPlace {
  readonly space: names.Space
  readonly protocol: Protocol
}

export interface Dialect {
  endpointMaps(words: Words, place: EndpointPlace): readonly ContainerObject[]
  /** What leads from `key`, a frontend as `endpointKeyOf` has it, and a slot to its endpoint. */
  slotElements(place: EndpointPlace, key: string, slot: Slot): readonly ElementObject[]
  /** Translates to the endpoint of the slot that `drawn` gives: `numgen random mod 5`. */
  translation(words: Words, place: EndpointPlace, drawn: string): string
  /** Where clients are remembered. */
  affinityMemory(words: Words): readonly ContainerObject[]
  /** What comes before a client's endpoint is looked up; `next` is the chain for new clients. */
  affinityExpiry(words: Words, next: string): readonly Rule[]
  /** Statements that hold a client to the destination that the packet has now. */
  remember(words: Words, seconds: number): string
}

export interface Slot {
  readonly number: number
  readonly target: Target
}

/** `version`: what `nft --version` says. */
export function dialectOf(version: string): Dialect {
  return isOlder(version, OLDEST_NFT_WITH_NUMBERS_IN_KEYS) ? NUMBERS_IN_PRIORITY : NUMBERS_IN_KEYS
}

/** How many clients are held at most. */
const CLIENTS = 262_144
/** Longer than a Service may ask for (`timeoutSeconds` is at most a day). */
const LONGEST_AFFINITY = '2d'

const AFFINITY_KEY_TYPE = { IPv4: 'ipv4_addr . classid', IPv6: 'classid' } as const

export const NUMBERS_IN_KEYS: Dialect = {
  endpointMaps(words, { space, protocol }) {
    const { ip } = words
    const key = `${endpointKeyOf(words, space, protocol)} . numgen random mod 65536`
    const text =
      space === 'range'
        ? `map { typeof ${key} : ${ip} daddr; flags interval; }`
        : `map { typeof ${key} : ${ip} daddr . ${protocol.toLowerCase()} dport; }`
    return [aContainer(names.endpointsIn(space, protocol), text)]
  },

  slotElements({ space, protocol }, key, { number, target: { ip, port } }) {
    const value = space === 'range' ? ip : `${ip} . ${port}`
    return [anElement(names.endpointsIn(space, protocol), `${key} . ${number}`, value)]
  },

  translation(words, { space, protocol }, drawn) {
    const key = `${endpointKeyOf(words, space, protocol)} . ${drawn}`
    return `dnat to ${key} map @${names.endpointsIn(space, protocol)}`
  },

  affinityMemory({ family, address }) {
    const types = `type ${AFFINITY_KEY_TYPE[family]} : ${address}`
    return [aContainer(names.AFFINITY, `map { ${types}; size ${CLIENTS}; flags dynamic,timeout; }`)]
  },

  affinityExpiry: () => [],

  remember: (words, seconds) =>
    `update @${names.AFFINITY} { ${affinityKeyOf(words)} timeout ${seconds}s : ${words.ip} daddr }`,
}

export const NUMBERS_IN_PRIORITY: Dialect = {
  endpointMaps(words, { space, protocol }) {
    const { address } = words
    const range = space === 'range' ? 'inet_proto . ' : ''
    const key = `${space === 'node-port' ? '' : `${address} . `}${range}inet_service . classid`
    const addresses = names.endpointsIn(space, protocol)
    if (space === 'range') return [aContainer(addresses, `map { type ${key} : ${address}; flags interval; }`)]
    return [
      aContainer(addresses, `map { type ${key} : ${address}; }`),
      aContainer(names.endpointPortsIn(space, protocol), `map { type ${key} : inet_service; }`),
    ]
  },

  slotElements({ space, protocol }, key, { number, target: { ip, port } }) {
    const address = anElement(names.endpointsIn(space, protocol), `${key} . ${number}`, ip)
    if (space === 'range') return [address]
    return [address, anElement(names.endpointPortsIn(space, protocol), `${key} . ${number}`, String(port))]
  },

  translation(words, { space, protocol }, drawn) {
    const key = `${endpointKeyOf(words, space, protocol)} . meta priority`
    const to = `meta priority set ${drawn} dnat to ${key} map @${names.endpointsIn(space, protocol)}`
    return space === 'range' ? to : `${to} : ${key} map @${names.endpointPortsIn(space, protocol)}`
  },

  affinityMemory({ family, address }) {
    const key = AFFINITY_KEY_TYPE[family]
    const flags = `size ${CLIENTS}; flags dynamic,timeout`
    return [
      aContainer(names.AFFINITY, `map { type ${key} : ${address}; ${flags}; timeout ${LONGEST_AFFINITY}; }`),
      aContainer(names.HELD_CLIENTS, `set { type ${key}; ${flags}; }`),
    ]
  },

  affinityExpiry(words, next) {
    const key = affinityKeyOf(words)
    const forget = `delete @${names.AFFINITY} { ${key} : ${words.ip} daddr }`
    return [{ text: `${key} != @${names.HELD_CLIENTS} ${forget} goto ${next}`, note: 'Held no longer' }]
  },

  remember(words, seconds) {
    const key = affinityKeyOf(words)
    return (
      `update @${names.HELD_CLIENTS} { ${key} timeout ${seconds}s } ` +
      `update @${names.AFFINITY} { ${key} : ${words.ip} daddr }`
    )
  },
}
