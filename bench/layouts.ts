/**
 * kube-proxy's rule layouts for the cluster of a scenario, as text for the plain tools: what its users have today,
 * without the program. Written from the behaviour of kube-proxy 1.36: in iptables mode one linear list of Services and
 * a chain per Service and per endpoint; in nftables mode a map entry and a chain per Service.
 */
import { createHash } from 'node:crypto'
import {
  changed,
  CLUSTER_CIDR,
  clusterIp,
  type ClusterSize,
  endpointIp,
  NAMESPACE,
  type PortName,
  type PORTS,
  portsOf,
  protocolOf,
  replacementIp,
  serviceName,
} from './cluster.ts'

export interface Layout {
  /** Standard input that loads everything. */
  readonly all: string
  /** Standard input of one change: another address for one endpoint of one Service. */
  readonly change: string
}

interface ServicePort {
  readonly service: number
  readonly name: string
  readonly ip: string
  readonly port: number
  readonly protocol: 'tcp' | 'udp'
  /** `ip:port` */
  readonly endpoints: readonly string[]
}

/** Base32 of SHA-256, first 16 characters. */
export function chainHash(text: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  const bits = [...createHash('sha256').update(text).digest().subarray(0, 10)]
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('')
  return (bits.match(/.{5}/g) ?? []).map((five) => alphabet[Number.parseInt(five, 2)]).join('')
}

export function kubeProxyIptables(size: ClusterSize): Layout {
  const ports = servicePorts(size)
  const jumps = [
    '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
    '-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
  ]
  const blocks = ports.map((port) => iptablesChains(port))
  const top = iptablesTop(ports)
  const all = restoreText(
    [...top.chains, ...blocks.flatMap(({ chains }) => chains)],
    [...jumps, ...top.rules, ...blocks.flatMap(({ rules }) => rules)],
  )
  // A partial sync of kube-proxy rewrites the top-level chains whole, and the chains of the changed Service.
  const last = changedPort(size, ports)
  const changed = last === undefined ? { chains: [], rules: [] } : iptablesChains(withNewEndpoint(last))
  const change = restoreText([...top.chains, ...changed.chains], [...top.rules, ...changed.rules])
  return { all, change }
}

export function kubeProxyNftables(size: ClusterSize): Layout {
  const ports = servicePorts(size)
  const chainOf = ({ service, protocol, name }: ServicePort): string => {
    const full = `${NAMESPACE}/${serviceName(service)}/${protocol}/${name}`
    return `service-${chainHash(full).slice(0, 8)}-${full}`
  }
  const rule = ({ protocol, ip: _ip, endpoints }: ServicePort): string => {
    const entries = endpoints.map((endpoint, i) => `${i} : ${endpoint.replace(':', ' . ')}`).join(', ')
    const { length } = endpoints
    return `meta l4proto ${protocol} dnat ip addr . port to numgen random mod ${length} map { ${entries} }`
  }
  const lines = [
    ...NFT_STATIC,
    ...ports.map((port) => `add chain ip kube-proxy ${chainOf(port)}`),
    ...ports.map((port) => `add rule ip kube-proxy ${chainOf(port)} ${rule(port)}`),
    ...new Set(ports.map(({ ip }) => `add element ip kube-proxy cluster-ips { ${ip} }`)),
    ...ports.map(
      (port) =>
        `add element ip kube-proxy service-ips { ${port.ip} . ${port.protocol} . ${port.port} : goto ${chainOf(port)} }`,
    ),
  ]
  const last = changedPort(size, ports)
  const change =
    last === undefined
      ? []
      : [
          `flush chain ip kube-proxy ${chainOf(last)}`,
          `add rule ip kube-proxy ${chainOf(last)} ${rule(withNewEndpoint(last))}`,
        ]
  return { all: `${lines.join('\n')}\n`, change: `${change.join('\n')}\n` }
}

function servicePorts(size: ClusterSize): ServicePort[] {
  return Array.from({ length: size.services }, (_, service) => service).flatMap((service) =>
    portsOf(size, service).map(([name, port]) => servicePort(size, { service, name, port })),
  )
}

function servicePort(
  size: ClusterSize,
  { service, name, port }: { service: number; name: PortName; port: (typeof PORTS)[PortName] },
): ServicePort {
  return {
    service,
    name,
    ip: clusterIp(service),
    port: port.service,
    protocol: protocolOf(name) === 'UDP' ? 'udp' : 'tcp',
    endpoints: Array.from(
      { length: size.endpoints },
      (_, slot) => `${endpointIp(size, service, slot)}:${port.target}`,
    ),
  }
}

/** The last of those Services that the bench changes. */
function changedPort(size: ClusterSize, ports: readonly ServicePort[]): ServicePort | undefined {
  const { last } = changed(size)
  return ports.find(({ service, name }) => service === last && name === 'tcp')
}

function withNewEndpoint(port: ServicePort): ServicePort {
  const [first = '', ...rest] = port.endpoints
  return { ...port, endpoints: [`${replacementIp(1)}:${first.split(':')[1] ?? ''}`, ...rest] }
}

interface Rules {
  readonly chains: readonly string[]
  readonly rules: readonly string[]
}

function fullName({ service, name }: ServicePort): string {
  return `${NAMESPACE}/${serviceName(service)}:${name}`
}

function iptablesTop(ports: readonly ServicePort[]): Rules {
  const services = ports.map((port) => {
    const { ip, protocol } = port
    const match = `-m ${protocol} -p ${protocol} -d ${ip} --dport ${port.port}`
    const chain = `KUBE-SVC-${chainHash(`${fullName(port)}${protocol}`)}`
    return `-A KUBE-SERVICES -m comment --comment "${fullName(port)} cluster IP" ${match} -j ${chain}`
  })
  return {
    chains: ['KUBE-SERVICES', 'KUBE-NODEPORTS', 'KUBE-POSTROUTING', 'KUBE-MARK-MASQ'],
    rules: [
      '-A KUBE-MARK-MASQ -j MARK --or-mark 0x00004000',
      '-A KUBE-POSTROUTING -m mark ! --mark 0x00004000/0x00004000 -j RETURN',
      '-A KUBE-POSTROUTING -j MARK --xor-mark 0x00004000',
      '-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully',
      ...services,
      '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports" -m addrtype --dst-type LOCAL ! -d 127.0.0.0/8 -j KUBE-NODEPORTS',
    ],
  }
}

function iptablesChains(port: ServicePort): Rules {
  const { ip, protocol, endpoints } = port
  const name = fullName(port)
  const service = `KUBE-SVC-${chainHash(`${name}${protocol}`)}`
  const seps = endpoints.map((endpoint) => `KUBE-SEP-${chainHash(`${name}${protocol}${endpoint}`)}`)
  const match = `-m ${protocol} -p ${protocol} -d ${ip} --dport ${port.port}`
  const rules = [
    `-A ${service} -m comment --comment "${name} cluster IP" ${match} ! -s ${CLUSTER_CIDR} -j KUBE-MARK-MASQ`,
  ]
  for (const [i, endpoint] of endpoints.entries()) {
    const left = endpoints.length - i
    const chance = left === 1 ? '' : `-m statistic --mode random --probability ${(1 / left).toFixed(10)} `
    const sep = seps[i] ?? ''
    rules.push(
      `-A ${service} -m comment --comment "${name} -> ${endpoint}" ${chance}-j ${sep}`,
      `-A ${sep} -m comment --comment ${name} -s ${endpoint.split(':')[0] ?? ''} -j KUBE-MARK-MASQ`,
      `-A ${sep} -m comment --comment ${name} -m ${protocol} -p ${protocol} -j DNAT --to-destination ${endpoint}`,
    )
  }
  return { chains: [service, ...seps], rules }
}

function restoreText(chains: readonly string[], rules: readonly string[]): string {
  return `*nat\n${chains.map((chain) => `:${chain} - [0:0]\n`).join('')}${rules.join('\n')}\nCOMMIT\n`
}

const NFT_STATIC = [
  'add table ip kube-proxy',
  'add set ip kube-proxy cluster-ips { type ipv4_addr ; }',
  'add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }',
  'add chain ip kube-proxy services',
  'add chain ip kube-proxy masquerading',
  'add chain ip kube-proxy nat-prerouting { type nat hook prerouting priority -100 ; }',
  'add chain ip kube-proxy nat-output { type nat hook output priority -100 ; }',
  'add chain ip kube-proxy nat-postrouting { type nat hook postrouting priority 100 ; }',
  'add rule ip kube-proxy nat-prerouting jump services',
  'add rule ip kube-proxy nat-output jump services',
  'add rule ip kube-proxy nat-postrouting jump masquerading',
  `add rule ip kube-proxy services ip daddr @cluster-ips ip saddr != ${CLUSTER_CIDR} mark set mark or 0x4000`,
  'add rule ip kube-proxy services ip daddr . meta l4proto . th dport vmap @service-ips',
  'add rule ip kube-proxy masquerading mark and 0x4000 != 0 mark set mark xor 0x4000 masquerade fully-random',
]
