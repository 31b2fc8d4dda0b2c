/**
 * Session affinity: which endpoint a client of a service port is held to, whatever frontend he dials.
 *
 * nft cannot look up what another look-up found, so the packet carries it, in fields that are put right again: its
 * priority is the number of the service port, and its destination address the remembered endpoint. Checksums are kept
 * right by the kernel, and nobody else sees the packet in between.
 */
import type { Target } from '../../forwarding/forwarding.ts'
import type { ServicePortKey } from '../../model/service-port.ts'
import {
  type ChainObject,
  type ContainerObject,
  type ElementObject,
  type Rule,
  aChain,
  aContainer,
  anElement,
  digest,
} from '../../netfilter/nftables/ruleset.ts'
import type { Protocol } from '../../net/protocol.ts'
import * as names from './names.ts'
import {
  type Words,
  affinityKeyOf,
  frontendKeyType,
  frontendOf,
  originalFrontendOf,
  rememberedFrontendOf,
} from './plan-words.ts'

export interface AffinityShape {
  readonly space: names.Space
  readonly protocol: Protocol
}

export function affinityContainers(words: Words): readonly ContainerObject[] {
  const { address } = words
  const bySpace = names.SPACES.flatMap((space) => {
    const key = frontendKeyType(words, space)
    const flags = space === 'range' ? ' flags interval;' : ''
    // A port range keeps the port that the client dialled.
    const value = space === 'range' ? address : 'inet_service'
    const its = names.CONTAINERS[space]
    return [
      aContainer(its.affinityEndpoints, `map { type ${key} . ${address} : ${value};${flags} }`),
      aContainer(its.affinityNumbers, `map { type ${key} : classid;${flags} }`),
      aContainer(its.affinity, `map { type ${key} : verdict;${flags} }`),
    ]
  })
  return [...bySpace, ...words.dialect.affinityMemory(words)]
}

/**
 * Before a new endpoint is drawn in chain `next`. What is remembered is translated to if it is still an endpoint of this
 * frontend, which is known from connection tracking by then; else it is forgotten and the address is put back.
 */
export function affinityRules(words: Words, shape: AffinityShape, next: string): readonly Rule[] {
  const { ip, dialect } = words
  const { space, protocol } = shape
  const its = names.CONTAINERS[space]
  const key = affinityKeyOf(words)
  const valid = `${rememberedFrontendOf(words, space)} . ${ip} daddr map @${its.affinityEndpoints}`
  // A range keeps the port; elsewhere nft must know the protocol before it lets a rule set one.
  const to =
    space === 'range'
      ? `dnat to ${valid}`
      : `meta l4proto ${names.PROTOCOL_NUMBER[protocol]} dnat to ${ip} daddr : ${valid}`
  return [
    { text: numbered(words, frontendOf(words, space), its.affinityNumbers), note: 'The service port' },
    ...dialect.affinityExpiry(words, next),
    { text: `${ip} daddr set ${key} map @${names.AFFINITY}`, note: 'The endpoint that this client had' },
    { text: to, note: 'is still one' },
    { text: `delete @${names.AFFINITY} { ${key} : ${ip} daddr }`, note: 'is none any more' },
    { text: `${ip} daddr set ct original ${ip} daddr`, note: 'As the client sent it' },
    { text: `goto ${next}`, note: 'A new client' },
  ]
}

/** Chain that holds a client to the endpoint it has just got, for as long as the Service says. */
export function rememberChain(
  words: Words,
  { space, protocol }: AffinityShape,
  seconds: number,
): ChainObject {
  const number = numbered(words, originalFrontendOf(words, space), names.CONTAINERS[space].affinityNumbers)
  const only = `meta l4proto ${names.PROTOCOL_NUMBER[protocol]}`
  return aChain(rememberChainName({ space, protocol }, seconds), [
    {
      text: `${only} ${number} ${words.dialect.remember(words, seconds)} meta priority set 0`,
      note: `Hold the client for ${seconds} s`,
    },
  ])
}

export function rememberChainName({ space, protocol }: AffinityShape, seconds: number): string {
  return names.inSpace(space, `remember-${names.PROTOCOL_NUMBER[protocol]}-${seconds}`)
}

/**
 * What a frontend of a service port with affinity needs. Of several endpoints with one address the first: a client is
 * held to an address, not to a port of it.
 */
export function* affinityElements(
  shape: AffinityShape,
  frontend: string,
  given: { readonly port: ServicePortKey; readonly seconds: number; readonly targets: readonly Target[] },
): Iterable<ElementObject> {
  const { space } = shape
  const its = names.CONTAINERS[space]
  const seen = new Set<string>()
  for (const { ip, port } of given.targets) {
    if (seen.has(ip)) continue
    seen.add(ip)
    yield anElement(its.affinityEndpoints, `${frontend} . ${ip}`, space === 'range' ? ip : String(port))
  }
  yield anElement(its.affinityNumbers, frontend, String(numberOf(given.port)))
  yield anElement(its.affinity, frontend, `goto ${rememberChainName(shape, given.seconds)}`)
}

/**
 * The same on every start. Two service ports of one number forget each other's clients now and then; of 10,000 with
 * affinity there is such a pair in one cluster of a hundred.
 */
function numberOf(port: ServicePortKey): number {
  return parseInt(digest(port), 16)
}

/** Statements that put the number of the frontend's service port into the packet, for IPv6 together with the client. */
function numbered({ family }: Words, frontend: string, numbers: string): string {
  const number = `meta priority set ${frontend} map @${numbers}`
  if (family === 'IPv4') return number
  // nft cannot put more than 16 bytes of key into an `update @map` (1.0.6 stops with a failed assertion). Of 262,144
  // clients, as many as can be held, some 16 share what is remembered with another one.
  return `${number} meta priority set jhash ip6 saddr . meta priority mod 4294967295 seed 0x1`
}
