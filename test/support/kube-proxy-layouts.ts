/** What kube-proxy 1.36 leaves in the kernel for one TCP Service with a NodePort, in each of its modes. */
import { createHash } from 'node:crypto'
import { type Family, hostPort } from '../../src/net/ip.ts'

export interface ProxiedService {
  /** `ns/name`. */
  readonly name: string
  readonly family: Family
  readonly clusterIp: string
  readonly port: number
  readonly nodePort: number
  readonly endpoints: readonly { readonly ip: string; readonly port: number }[]
  readonly podCidr: string
}

const MARK = '0x00004000'
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

function hashOf(text: string, digits: number): string {
  const bits = [...createHash('sha256').update(text).digest()].map((byte) =>
    byte.toString(2).padStart(8, '0'),
  )
  const groups = bits.join('').match(/.{5}/g) ?? []
  return groups
    .slice(0, digits)
    .map((group) => BASE32.charAt(parseInt(group, 2)))
    .join('')
}

const portals = '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
const external =
  '-m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES'
const firewall =
  '-m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL'

/** In the order in which they are put in front. */
export const IPTABLES_JUMPS = {
  filter: [
    `INPUT ${external}`,
    `FORWARD ${external}`,
    'INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS',
    `FORWARD -m conntrack --ctstate NEW ${portals}`,
    `OUTPUT -m conntrack --ctstate NEW ${portals}`,
    'FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD',
    `INPUT ${firewall}`,
    `OUTPUT ${firewall}`,
    `FORWARD ${firewall}`,
  ],
  nat: [
    `OUTPUT ${portals}`,
    `PREROUTING ${portals}`,
    'POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
  ],
} as const

function block(table: string, chains: readonly string[], rules: readonly string[]): string {
  return [`*${table}`, ...chains.map((chain) => `:${chain} - [0:0]`), ...rules, 'COMMIT', ''].join('\n')
}

/** `iptables-restore` input that makes the chains and the jumps to them. */
export function iptablesEntries(): string {
  const jumps = (table: 'filter' | 'nat') => IPTABLES_JUMPS[table].map((jump) => `-I ${jump}`)
  const filter = ['SERVICES', 'EXTERNAL-SERVICES', 'FORWARD', 'NODEPORTS', 'PROXY-FIREWALL', 'PROXY-CANARY']
  const nat = ['SERVICES', 'NODEPORTS', 'POSTROUTING', 'MARK-MASQ', 'PROXY-CANARY']
  const named = (names: readonly string[]) => names.map((name) => `KUBE-${name}`)
  return [
    block('mangle', ['KUBE-PROXY-CANARY'], []),
    block('filter', named(filter), jumps('filter')),
    block('nat', named(nat), jumps('nat')),
  ].join('')
}

/** `iptables-restore --noflush` input of a full sync. */
export function iptablesSync(service: ProxiedService): string {
  const { name, clusterIp, port, nodePort, endpoints, family, podCidr } = service
  const hash = hashOf(`${name}tcp`, 16)
  const seps = endpoints.map(({ ip, port: to }) => ({
    chain: `KUBE-SEP-${hashOf(`${name}tcp${hostPort(ip as never, to)}`, 16)}`,
    ip,
    to: hostPort(ip as never, to),
  }))
  const match = `-m tcp -p tcp -d ${clusterIp} --dport ${port}`
  const loopback = family === 'IPv4' ? '127.0.0.0/8' : '::1/128'
  const filter = [
    '-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP',
    `-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark ${MARK}/${MARK} -j ACCEPT`,
    '-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
  ]
  const nat = [
    `-A KUBE-MARK-MASQ -j MARK --or-mark ${MARK}`,
    `-A KUBE-POSTROUTING -m mark ! --mark ${MARK}/${MARK} -j RETURN`,
    `-A KUBE-POSTROUTING -j MARK --xor-mark ${MARK}`,
    '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
    `-A KUBE-SERVICES -m comment --comment "${name} cluster IP" ${match} -j KUBE-SVC-${hash}`,
    `-A KUBE-NODEPORTS -m comment --comment ${name} -m tcp -p tcp --dport ${nodePort} -j KUBE-EXT-${hash}`,
    `-A KUBE-EXT-${hash} -m comment --comment "masquerade traffic for ${name} external destinations" -j KUBE-MARK-MASQ`,
    `-A KUBE-EXT-${hash} -j KUBE-SVC-${hash}`,
    `-A KUBE-SVC-${hash} -m comment --comment "${name} cluster IP" ${match} ! -s ${podCidr} -j KUBE-MARK-MASQ`,
    ...seps.map(({ chain, to }, i) => {
      const chance = (1 / (seps.length - i)).toFixed(10)
      const random = i === seps.length - 1 ? '' : ` -m statistic --mode random --probability ${chance}`
      return `-A KUBE-SVC-${hash} -m comment --comment "${name} -> ${to}"${random} -j ${chain}`
    }),
    ...seps.flatMap(({ chain, ip, to }) => [
      `-A ${chain} -m comment --comment ${name} -s ${ip} -j KUBE-MARK-MASQ`,
      `-A ${chain} -m comment --comment ${name} -m tcp -p tcp -j DNAT --to-destination ${to}`,
    ]),
    `-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL ! -d ${loopback} -j KUBE-NODEPORTS`,
  ]
  const own = [`KUBE-SVC-${hash}`, `KUBE-EXT-${hash}`, ...seps.map(({ chain }) => chain)]
  const named = (...names: readonly string[]) => names.map((one) => `KUBE-${one}`)
  return [
    block('filter', named('SERVICES', 'EXTERNAL-SERVICES', 'FORWARD', 'NODEPORTS', 'PROXY-FIREWALL'), filter),
    block('nat', [...named('SERVICES', 'NODEPORTS', 'POSTROUTING', 'MARK-MASQ'), ...own], nat),
  ].join('')
}

/** The rules of IPVS mode around the virtual servers, with their sets. */
export function ipvsGlue(service: ProxiedService): { readonly sets: string; readonly rules: string } {
  const { clusterIp, port, nodePort, family, podCidr } = service
  const six = family === 'IPv4' ? '' : '6-'
  const inet = family === 'IPv4' ? 'inet' : 'inet6'
  const set = (name: string, fields: string) => `-m set --match-set KUBE-${six}${name} ${fields}`
  const hash = `family ${inet} hashsize 1024 maxelem 65536`
  const sets = [
    `create KUBE-${six}CLUSTER-IP hash:ip,port ${hash}`,
    `create KUBE-${six}IPVS-IPS hash:ip ${hash}`,
    `create KUBE-${six}NODE-PORT-TCP bitmap:port range 0-65535`,
    `create KUBE-${six}LOOP-BACK hash:ip,port,ip ${hash}`,
    `add KUBE-${six}CLUSTER-IP ${clusterIp},tcp:${port}`,
    `add KUBE-${six}IPVS-IPS ${clusterIp}`,
    `add KUBE-${six}NODE-PORT-TCP ${nodePort}`,
  ]
  const jump = (chain: string, comment: string, target: string) =>
    `-I ${chain} -m comment --comment "${comment}" -j ${target}`
  const nat = [
    jump('OUTPUT', 'kubernetes service portals', 'KUBE-SERVICES'),
    jump('PREROUTING', 'kubernetes service portals', 'KUBE-SERVICES'),
    jump('POSTROUTING', 'kubernetes postrouting rules', 'KUBE-POSTROUTING'),
    `-A KUBE-POSTROUTING ${set('LOOP-BACK', 'dst,dst,src')} -j MASQUERADE`,
    `-A KUBE-SERVICES ${set('CLUSTER-IP', 'dst,dst')} ! -s ${podCidr} -j KUBE-MARK-MASQ`,
    '-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT',
    `-A KUBE-NODE-PORT -p tcp ${set('NODE-PORT-TCP', 'dst')} -j KUBE-MARK-MASQ`,
    '-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ',
    `-A KUBE-SERVICES ${set('CLUSTER-IP', 'dst,dst')} -j ACCEPT`,
    `-A KUBE-MARK-MASQ -j MARK --or-mark ${MARK}`,
  ]
  const filter = [
    jump('FORWARD', 'kubernetes forwarding rules', 'KUBE-FORWARD'),
    jump('INPUT', 'kubernetes health check rules', 'KUBE-NODE-PORT'),
    jump('INPUT', 'kube-proxy firewall rules', 'KUBE-PROXY-FIREWALL'),
    jump('FORWARD', 'kube-proxy firewall rules', 'KUBE-PROXY-FIREWALL'),
    jump('INPUT', 'kubernetes ipvs access filter', 'KUBE-IPVS-FILTER'),
    jump('OUTPUT', 'kubernetes ipvs access filter', 'KUBE-IPVS-OUT-FILTER'),
    '-A KUBE-SOURCE-RANGES-FIREWALL -j DROP',
    `-A KUBE-IPVS-FILTER ${set('CLUSTER-IP', 'dst,dst')} -j RETURN`,
    `-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW ${set('IPVS-IPS', 'dst')} -j REJECT`,
  ]
  const named = (...names: readonly string[]) => names.map((one) => `KUBE-${one}`)
  const inNat = named('SERVICES', 'POSTROUTING', 'NODE-PORT', 'LOAD-BALANCER', 'MARK-MASQ')
  const inFilter = named('FORWARD', 'NODE-PORT', 'PROXY-FIREWALL', 'SOURCE-RANGES-FIREWALL', 'IPVS-FILTER')
  return {
    sets: `${sets.join('\n')}\n`,
    rules: block('nat', inNat, nat) + block('filter', [...inFilter, 'KUBE-IPVS-OUT-FILTER'], filter),
  }
}

const HOOKS = {
  'filter-prerouting-pre-dnat': 'type filter hook prerouting priority -110',
  'filter-output-pre-dnat': 'type filter hook output priority -110',
  'filter-input': 'type filter hook input priority 0',
  'filter-forward': 'type filter hook forward priority 0',
  'filter-output': 'type filter hook output priority 0',
  'nat-prerouting': 'type nat hook prerouting priority -100',
  'nat-output': 'type nat hook output priority -100',
  'nat-postrouting': 'type nat hook postrouting priority 100',
}

/** One transaction of `nft -f`: a full sync of a process that has just started. */
export function nftablesSync(service: ProxiedService): string {
  const { name, family, clusterIp, port, nodePort, endpoints, podCidr } = service
  const ip = family === 'IPv4' ? 'ip' : 'ip6'
  const address = family === 'IPv4' ? 'ipv4_addr' : 'ipv6_addr'
  const table = `${ip} kube-proxy`
  const full = `${name}/tcp/`
  const base = `${hashOf(full, 8)}-${full}`
  const key = `${ip} daddr . meta l4proto . th dport`
  const containers = [
    `set ${table} cluster-ips { type ${address} ; }`,
    `set ${table} nodeport-ips { type ${address} ; }`,
    `set ${table} hairpin-connections { type ${address} . ${address} . inet_proto . inet_service ; }`,
    `map ${table} service-ips { type ${address} . inet_proto . inet_service : verdict ; }`,
    `map ${table} service-nodeports { type inet_proto . inet_service : verdict ; }`,
    `map ${table} no-endpoint-services { type ${address} . inet_proto . inet_service : verdict ; }`,
    `map ${table} no-endpoint-nodeports { type inet_proto . inet_service : verdict ; }`,
    `map ${table} firewall-ips { type ${address} . inet_proto . inet_service : verdict ; }`,
  ]
  const rules: readonly (readonly [string, string])[] = [
    ['filter-input', 'ct state new jump nodeport-endpoints-check'],
    ['filter-input', 'ct state new jump service-endpoints-check'],
    ['filter-forward', 'ct state new jump service-endpoints-check'],
    ['filter-forward', 'ct state new jump cluster-ips-check'],
    ['filter-output', 'ct state new jump service-endpoints-check'],
    ['filter-output', 'ct state new jump cluster-ips-check'],
    ['filter-prerouting-pre-dnat', 'ct state new jump firewall-check'],
    ['filter-output-pre-dnat', 'ct state new jump firewall-check'],
    ['nat-output', 'jump services'],
    ['nat-prerouting', 'jump services'],
    ['nat-postrouting', 'jump masquerading'],
    ['services', `${ip} daddr @cluster-ips ${ip} saddr != ${podCidr} meta mark set mark or ${MARK}`],
    ['services', `${key} vmap @service-ips`],
    ['services', 'fib daddr type local meta l4proto . th dport vmap @service-nodeports'],
    ['masquerading', `meta mark and ${MARK} != 0 meta mark set mark xor ${MARK} masquerade fully-random`],
    [
      'masquerading',
      `ct status dnat ${ip} saddr . ${ip} daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random`,
    ],
    ['service-endpoints-check', `${key} vmap @no-endpoint-services`],
    ['nodeport-endpoints-check', 'meta l4proto . th dport vmap @no-endpoint-nodeports'],
    ['firewall-check', `${key} vmap @firewall-ips`],
    ['cluster-ips-check', `${ip} daddr @cluster-ips reject`],
    ['reject-chain', 'reject'],
    [
      `service-${base}`,
      `meta l4proto tcp dnat ${ip} to numgen random mod ${endpoints.length} map { ${endpoints
        .map((endpoint, i) => `${i} : ${endpoint.ip} . ${endpoint.port}`)
        .join(', ')} }`.replace(`dnat ${ip} to`, `dnat ${ip} addr . port to`),
    ],
    [`external-${base}`, `meta mark set mark or ${MARK}`],
    [`external-${base}`, `goto service-${base}`],
  ]
  const hooked = Object.entries(HOOKS)
  const regular = [...new Set(rules.map(([chain]) => chain))].filter((chain) => !(chain in HOOKS))
  return [
    `add table ${table}`,
    ...hooked.flatMap(([chain, hook]) => [
      `add chain ${table} ${chain} { ${hook} ; }`,
      `delete chain ${table} ${chain}`,
      `add chain ${table} ${chain} { ${hook} ; }`,
    ]),
    ...containers.flatMap((container) => [
      `add ${container}`,
      `flush ${container.slice(0, container.indexOf(' {'))}`,
    ]),
    ...regular.flatMap((chain) => [`add chain ${table} ${chain}`, `flush chain ${table} ${chain}`]),
    ...rules.map(([chain, rule]) => `add rule ${table} ${chain} ${rule}`),
    `add element ${table} cluster-ips { ${clusterIp} }`,
    `add element ${table} service-ips { ${clusterIp} . tcp . ${port} : goto service-${base} }`,
    `add element ${table} service-nodeports { tcp . ${nodePort} : goto external-${base} }`,
    ...endpoints.map(
      (endpoint) =>
        `add element ${table} hairpin-connections { ${endpoint.ip} . ${endpoint.ip} . tcp . ${endpoint.port} }`,
    ),
    '',
  ].join('\n')
}
