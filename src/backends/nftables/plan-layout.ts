/**
 * The part of the table that no Service has a say in: sets and maps, hooks, and chains whose rules are always the same.
 */
import {
  type ContainerObject,
  type Hook,
  type NftObject,
  type Rule,
} from '../../netfilter/nftables/ruleset.ts'
import { UNPRIVILEGED, masqueradePorts } from '../../netfilter/masquerade-ports.ts'
import { aChain, aContainer, aTable, digest } from '../../netfilter/nftables/ruleset.ts'
import type { BackendOptions } from '../backend.ts'
import * as names from './names.ts'
import { formatPortRange } from '../../net/port-range.ts'
import { PROTOCOLS } from '../../net/protocol.ts'
import { affinityContainers } from './plan-affinity.ts'
import { type Words, frontendKeyType, originalFrontendOf } from './plan-words.ts'

/** Declarations of all sets and maps. Hot maps are hashes; intervals only where nothing else will do. */
export function containersOf(words: Words): readonly ContainerObject[] {
  const { address } = words
  const bySpace = names.SPACES.flatMap((space) => {
    const key = frontendKeyType(words, space)
    const flags = space === 'range' ? ' flags interval;' : ''
    const its = names.CONTAINERS[space]
    return [
      aContainer(its.sources, `set { type ${key} . ${address}; flags interval; }`),
      aContainer(its.firewalled, `set { type ${key};${flags} }`),
      aContainer(its.services, `map { type ${key} : verdict;${flags} }`),
      aContainer(its.noEndpoints, `map { type ${key} : verdict;${flags} }`),
    ]
  })
  return [...endpointMaps(words), ...affinityContainers(words), ...bySpace, ...sharedContainers(words)]
}

function endpointMaps(words: Words): readonly ContainerObject[] {
  const others = PROTOCOLS.flatMap((protocol) =>
    (['address', 'node-port'] as const).flatMap((space) =>
      words.dialect.endpointMaps(words, { space, protocol }),
    ),
  )
  return [...others, ...words.dialect.endpointMaps(words, { space: 'range', protocol: 'TCP' })]
}

function sharedContainers(words: Words): readonly ContainerObject[] {
  const { address } = words
  return [
    aContainer(names.CLUSTER_IPS, `set { type ${address}; }`),
    aContainer(names.EXTERNAL_IPS, `set { type ${address}; }`),
    aContainer(names.NODE_PORTS, 'set { type inet_proto . inet_service; }'),
    aContainer(names.NODE_PORT_IPS, `set { type ${address}; }`),
    aContainer(names.HAIRPIN, `set { type ${address} . ${address}; }`),
    aContainer(names.SERVICE_CIDRS, `set { type ${address}; flags interval; }`),
    aContainer(
      names.TRANSLATED,
      // An idle TCP connection is forgotten by connection tracking after five days, too.
      `set { type ${address} . inet_proto . inet_service; size 65535; flags dynamic,timeout; timeout 5d; }`,
    ),
  ]
}

/** Type, hook and priority cannot be changed in place. The priorities are those of kube-proxy. */
export const HOOKS = {
  'filter-prerouting-pre-dnat': { type: 'filter', hook: 'prerouting', priority: -110 },
  'filter-output-pre-dnat': { type: 'filter', hook: 'output', priority: -110 },
  'nat-prerouting': { type: 'nat', hook: 'prerouting', priority: -100 },
  'nat-output': { type: 'nat', hook: 'output', priority: -100 },
  'filter-input': { type: 'filter', hook: 'input', priority: 0 },
  'filter-forward': { type: 'filter', hook: 'forward', priority: 0 },
  'filter-output': { type: 'filter', hook: 'output', priority: 0 },
  'nat-postrouting': { type: 'nat', hook: 'postrouting', priority: 100 },
} as const satisfies Record<string, Hook>

export function layoutDigest(words: Words): string {
  return digest(JSON.stringify([containersOf(words).map(({ name, text }) => [name, text]), HOOKS]))
}

export function layoutObjects(words: Words, options: BackendOptions): readonly NftObject[] {
  const layout = layoutDigest(words)
  return [
    aTable(layout),
    aChain(`${names.LAYOUT_PREFIX}${layout}`, []),
    ...containersOf(words),
    ...staticChains(words, options),
  ]
}

function staticChains(words: Words, options: BackendOptions): readonly NftObject[] {
  const hooked = (name: keyof typeof HOOKS, ...rules: Rule[]) => aChain(name, rules, HOOKS[name])
  const checked = (name: keyof typeof HOOKS, chain: string) => hooked(name, ...stateRules(options, chain))
  const fresh = { text: 'ct state new jump firewall-check', note: 'Source ranges, before translation' }
  const services = { text: 'jump services', note: 'Translate what is for a Service' }
  return [
    hooked('filter-prerouting-pre-dnat', fresh),
    hooked('filter-output-pre-dnat', fresh),
    hooked('nat-prerouting', services),
    hooked('nat-output', services),
    checked('filter-forward', 'service-endpoints-check'),
    checked('filter-output', 'service-endpoints-check'),
    hooked('nat-postrouting', { text: 'jump masquerading', note: 'Hide who asked where replies need it' }),
    aChain('masquerading', masqueradingRules(words, options)),
    aChain('masquerade-ports', masqueradeRules(options)),
    aChain('invalid-check', [invalidRule(words)]),
    aChain('service-endpoints-check', endpointsCheckRules(words)),
    aChain('translated', translatedRules(words, options)),
    ...PROTOCOL_NUMBERS.map((protocol) =>
      aChain(`translated-${protocol}`, translatedBy(words, options, protocol)),
    ),
    aChain(names.REJECT_CHAIN, REJECT_RULES),
  ]
}

/** An open connection takes ICMP for a passing trouble; only a reset tells its client that nobody is left. */
const REJECT_RULES: readonly Rule[] = [
  {
    text: 'tcp flags & (fin | syn | rst | ack) != syn reject with tcp reset',
    note: 'Of a connection that is not known any more',
  },
  { text: 'reject', note: 'Port unreachable' },
]

const PROTOCOL_NUMBERS = Object.values(names.PROTOCOL_NUMBER)

/** First rules of the filter hooks: most packets belong to an open connection and leave after one look-up. */
export function stateRules(options: BackendOptions, chainForNew: string): readonly Rule[] {
  return [
    options.dropInvalid
      ? {
          text: `ct state vmap { invalid : jump invalid-check, new : jump ${chainForNew} }`,
          note: 'Only what begins or belongs nowhere is looked at',
        }
      : { text: `ct state new jump ${chainForNew}`, note: 'Only what begins is looked at' },
  ]
}

/** The mark goes in the same rule, before the packet can enter a tunnel that copies it to the outer packet. */
function masqueradingRules({ ip }: Words, { masqueradeMark }: BackendOptions): readonly Rule[] {
  const mark = markText(masqueradeMark)
  return [
    {
      text: `meta mark and ${mark} == ${mark} meta mark set mark xor ${mark} goto masquerade-ports`,
      note: 'Marked for masquerade',
    },
    {
      text: `ct status dnat ${ip} saddr . ${ip} daddr @${names.HAIRPIN} goto masquerade-ports`,
      note: 'A pod that reaches itself',
    },
  ]
}

function masqueradeRules({ nodePortRange }: BackendOptions): readonly Rule[] {
  const from = `meta l4proto { tcp, udp } th sport ${formatPortRange(UNPRIVILEGED)}`
  const chosen = masqueradePorts(nodePortRange).map(({ probability, ...range }) => ({
    text: `${from} ${chanceText(probability)}masquerade to :${formatPortRange(range)} fully-random`,
    note: 'With a port that is no NodePort',
  }))
  return [...chosen, { text: 'masquerade fully-random', note: 'Other protocols, and privileged ports' }]
}

/** Empty for certainty, else with a space behind it. */
function chanceText(probability: number): string {
  return probability < 1 ? `numgen random mod 65536 < ${Math.round(probability * 65_536)} ` : ''
}

/**
 * A reply that connection tracking cannot place would reach the client with the endpoint's own address, and the client
 * would reset the connection. Only endpoints that we translated a connection to are concerned.
 */
function invalidRule({ ip }: Words): Rule {
  return {
    text: `${ip} saddr . meta l4proto . th sport @${names.TRANSLATED} drop`,
    note: 'Reply of an endpoint that cannot be translated back',
  }
}

function endpointsCheckRules(words: Words): readonly Rule[] {
  const { ip } = words
  return [
    { text: 'ct status dnat goto translated', note: 'Has an endpoint' },
    ...noEndpointRules(words),
    // A TCP client that began before the Service was there and tries again: refused, it would not ask a third time. The
    // first packet of a connection is not confirmed yet in this hook. (A UDP client may go on for ever, so it is told.)
    {
      text: `${ip} daddr @${names.CLUSTER_IPS} meta l4proto ${names.PROTOCOL_NUMBER.TCP} ct status confirmed drop`,
      note: 'Older than the Service, and soon forgotten',
    },
    {
      text: `${ip} daddr @${names.CLUSTER_IPS} goto ${names.REJECT_CHAIN}`,
      note: 'Unused port of a ClusterIP',
    },
    { text: `${ip} daddr @${names.SERVICE_CIDRS} drop`, note: 'No Service has this address' },
  ]
}

export function noEndpointRules({ ip }: Words): readonly Rule[] {
  const key = `${ip} daddr . meta l4proto . th dport`
  return [
    { text: `${key} vmap @${names.CONTAINERS.address.noEndpoints}`, note: 'No endpoints' },
    { text: `${key} vmap @${names.CONTAINERS.range.noEndpoints}`, note: 'No endpoints, port range' },
  ]
}

/** What is learnt from the first packet of a translated connection. */
function translatedRules(words: Words, options: BackendOptions): readonly Rule[] {
  const { ip } = words
  const protocols = PROTOCOL_NUMBERS.map((protocol) => `${protocol} : goto translated-${protocol}`)
  const ours = [names.CLUSTER_IPS, names.EXTERNAL_IPS].map((set) => ({
    text: `ct original ${ip} daddr @${set} ${rememberEndpoint(words)}`,
    note: `Translated by us: ${set}`,
  }))
  return [
    ...(options.dropInvalid ? ours : []),
    { text: `meta l4proto vmap { ${protocols.join(', ')} }`, note: 'The original port needs a protocol' },
  ]
}

function translatedBy(words: Words, options: BackendOptions, protocol: number): readonly Rule[] {
  const only = `meta l4proto ${protocol}`
  const nodePort = originalFrontendOf(words, 'node-port')
  const affinity = names.SPACES.map((space) => ({
    text: `${only} ${originalFrontendOf(words, space)} vmap @${names.CONTAINERS[space].affinity}`,
    note: 'Session affinity',
  }))
  const remember = {
    text: `${only} ${nodePort} @${names.NODE_PORTS} ${rememberEndpoint(words)}`,
    note: 'Translated by us: NodePort',
  }
  return options.dropInvalid ? [remember, ...affinity] : affinity
}

function rememberEndpoint({ ip }: Words): string {
  return `update @${names.TRANSLATED} { ${ip} daddr . meta l4proto . th dport }`
}

export function markText(mark: number): string {
  return `0x${(mark >>> 0).toString(16).padStart(8, '0')}`
}
