/** Rows of the settings table: what is done with packets, and how often. */
import { cidrList, clusterCidrs, INTERFACE_NAME, interfaceNames, nodePortAddresses } from './list-type.ts'
import { setting } from './setting.ts'
import { bool, choice, duration, portRange, text, whole } from './value-type.ts'

const INT32_MAX = 2 ** 31 - 1

const MIN_SYNC_PERIOD_MS = 1000
const SYNC_PERIOD_MS = 30_000

function minSyncPeriod(field: string, flag?: string) {
  return setting({
    type: duration({ minMs: 0 }),
    default: MIN_SYNC_PERIOD_MS,
    ...(flag === undefined ? {} : { flag }),
    field,
    v1alpha2: { field: 'minSyncPeriod' },
    group: 'Proxying',
    help: 'Longest pause between two runs; it is never longer than the run before it took.',
    change: 'live',
  })
}

function syncPeriod(field: string, flag?: string) {
  return setting({
    type: duration({ minMs: 1e-6 }),
    default: SYNC_PERIOD_MS,
    ...(flag === undefined ? {} : { flag }),
    field,
    v1alpha2: { field: 'syncPeriod' },
    group: 'Proxying',
    help: 'A failed run is tried again after at most this long; after twice as long /healthz says so.',
    change: 'live',
  })
}

export const PROXYING_SETTINGS = {
  mode: setting({
    type: choice(['iptables', 'ipvs', 'nftables'], 'iptables'),
    default: 'iptables',
    flag: 'proxy-mode',
    aliases: ['mode'],
    field: 'mode',
    group: 'Proxying',
    help: 'What in the kernel does the work.',
    change: 'restart',
  }),
  iptablesMasqueradeBit: setting({
    type: whole(0, 31),
    default: 14,
    flag: 'iptables-masquerade-bit',
    field: 'iptables.masqueradeBit',
    group: 'Proxying',
    help: 'Bit of the packet mark that asks for masquerading (modes iptables and ipvs).',
    change: 'restart',
    zeroCounts: true,
    alsoSets: ['ipvsMasqueradeBit'],
  }),
  ipvsMasqueradeBit: setting({
    type: whole(0, 31),
    default: 14,
    field: 'iptables.masqueradeBit',
    v1alpha2: { field: 'ipvs.masqueradeBit' },
    group: 'Proxying',
    help: 'The same in mode ipvs; v1alpha1 and flags have one setting for both.',
    change: 'restart',
    zeroCounts: true,
    writtenIn: 'ipvs',
  }),
  nftablesMasqueradeBit: setting({
    type: whole(0, 31),
    default: 14,
    field: 'nftables.masqueradeBit',
    onlyIn: 'nftables',
    group: 'Proxying',
    help: 'Bit of the packet mark that asks for masquerading (mode nftables).',
    change: 'restart',
    zeroCounts: true,
  }),
  iptablesMasqueradeAll: setting({
    type: bool,
    default: false,
    flag: 'masquerade-all',
    field: 'iptables.masqueradeAll',
    v1alpha2: { field: 'linux.masqueradeAll' },
    group: 'Proxying',
    help: 'Masquerade all traffic to cluster IPs.',
    change: 'restart',
    alsoSets: ['nftablesMasqueradeAll'],
  }),
  nftablesMasqueradeAll: setting({
    type: bool,
    default: false,
    field: 'nftables.masqueradeAll',
    v1alpha2: { field: 'linux.masqueradeAll' },
    group: 'Proxying',
    help: 'Masquerade all traffic to cluster IPs (mode nftables).',
    change: 'restart',
  }),
  iptablesSyncPeriod: {
    ...syncPeriod('iptables.syncPeriod', 'iptables-sync-period'),
    alsoSets: ['nftablesSyncPeriod'],
  },
  iptablesMinSyncPeriod: {
    ...minSyncPeriod('iptables.minSyncPeriod', 'iptables-min-sync-period'),
    alsoSets: ['nftablesMinSyncPeriod'],
  },
  nftablesSyncPeriod: syncPeriod('nftables.syncPeriod'),
  nftablesMinSyncPeriod: minSyncPeriod('nftables.minSyncPeriod'),
  ipvsSyncPeriod: syncPeriod('ipvs.syncPeriod', 'ipvs-sync-period'),
  ipvsMinSyncPeriod: {
    ...minSyncPeriod('ipvs.minSyncPeriod', 'ipvs-min-sync-period'),
    kubeProxyDefault: '1s, in files 0s',
  },
  iptablesVariant: setting({
    type: choice(['auto', 'legacy', 'nft'], 'auto'),
    default: 'auto',
    flag: 'iptables-variant',
    field: 'fairlead.iptablesVariant',
    group: 'Proxying',
    help: 'Which iptables programs to use; auto follows the kubelet of this node.',
    change: 'restart',
    beatsFile: true,
  }),
}

export const LOCAL_TRAFFIC_SETTINGS = {
  detectLocalMode: setting({
    type: choice(['ClusterCIDR', 'NodeCIDR', 'BridgeInterface', 'InterfaceNamePrefix'], 'ClusterCIDR'),
    default: 'ClusterCIDR',
    flag: 'detect-local-mode',
    field: 'detectLocalMode',
    group: 'Local traffic',
    help: 'How traffic of pods is recognised.',
    change: 'restart',
  }),
  clusterCidrs: setting({
    type: clusterCidrs,
    default: [],
    flag: 'cluster-cidr',
    field: 'clusterCIDR',
    v1alpha2: { field: 'detectLocal.clusterCIDRs' },
    onlyIn: 'ClusterCIDR',
    group: 'Local traffic',
    help: 'Networks of all pods, one per family (mode ClusterCIDR).',
    change: 'restart',
  }),
  bridgeInterface: setting({
    type: text({
      name: 'name',
      pattern: INTERFACE_NAME,
      remedy: 'an interface name; write at most 15 letters, digits, ".", "_" or "-"',
    }),
    default: '',
    flag: 'pod-bridge-interface',
    field: 'detectLocal.bridgeInterface',
    group: 'Local traffic',
    help: 'Bridge that the pods of this node are attached to (mode BridgeInterface).',
    change: 'restart',
  }),
  interfaceNamePrefixes: setting({
    type: interfaceNames,
    default: [],
    flag: 'pod-interface-name-prefix',
    field: 'detectLocal.interfaceNamePrefix',
    group: 'Local traffic',
    help: "Beginning of the names of the pods' interfaces, several with commas (mode InterfaceNamePrefix).",
    change: 'restart',
  }),
}

export const ADDRESS_SETTINGS = {
  nodePortAddresses: setting({
    type: nodePortAddresses,
    default: [],
    flag: 'nodeport-addresses',
    field: 'nodePortAddresses',
    group: 'NodePorts and external addresses',
    help: 'Networks whose local addresses answer on NodePorts, or "primary"; empty: all, in mode nftables primary.',
    change: 'live',
  }),
  localhostNodePorts: setting({
    type: bool,
    default: true,
    flag: 'iptables-localhost-nodeports',
    field: 'iptables.localhostNodePorts',
    v1alpha2: { default: false },
    group: 'NodePorts and external addresses',
    help: 'NodePorts answer on 127.0.0.1 too (mode iptables).',
    change: 'restart',
    zeroCounts: true,
  }),
  nodePortRange: setting({
    type: portRange,
    default: { first: 30_000, last: 32_767 },
    flag: 'service-node-port-range',
    field: 'fairlead.serviceNodePortRange',
    group: 'NodePorts and external addresses',
    help: "The API server's option of this name; no masqueraded connection gets such a port. Empty: any may be taken.",
    change: 'restart',
    zeroCounts: true,
    beatsFile: true,
  }),
  externalIpCidrs: setting({
    type: cidrList,
    default: [],
    flag: 'external-ip-cidrs',
    field: 'fairlead.externalIPCIDRs',
    group: 'NodePorts and external addresses',
    help: 'Only externalIPs inside these networks are served; empty: all.',
    change: 'live',
    beatsFile: true,
  }),
}

function limit(flag: string, field: string, rest: { help: string; default: number }) {
  return setting({
    type: whole(0, INT32_MAX),
    default: rest.default,
    flag,
    field,
    v1alpha2: { field: `linux.${field}` },
    group: 'Connection tracking',
    help: rest.help,
    change: 'live',
    zeroCounts: true,
  })
}

function timeout(flag: string, field: string, rest: { help: string; default: number }) {
  return setting({ ...limit(flag, field, rest), type: duration({ minMs: 0 }) })
}

export const CONNTRACK_SETTINGS = {
  conntrackMaxPerCore: limit('conntrack-max-per-core', 'conntrack.maxPerCore', {
    help: 'Connections that the kernel tracks, per CPU; 0 leaves the limit alone. Limits are only ever raised.',
    default: 32_768,
  }),
  conntrackMin: limit('conntrack-min', 'conntrack.min', {
    help: 'Connections that the kernel tracks at least, whatever the number of CPUs.',
    default: 131_072,
  }),
  conntrackTcpEstablishedTimeout: timeout(
    'conntrack-tcp-timeout-established',
    'conntrack.tcpEstablishedTimeout',
    { help: 'How long an idle TCP connection is remembered; 0 leaves it alone.', default: 86_400_000 },
  ),
  conntrackTcpCloseWaitTimeout: timeout('conntrack-tcp-timeout-close-wait', 'conntrack.tcpCloseWaitTimeout', {
    help: 'The same in state CLOSE_WAIT; 0 leaves it alone.',
    default: 3_600_000,
  }),
  conntrackTcpBeLiberal: setting({
    type: bool,
    default: false,
    flag: 'conntrack-tcp-be-liberal',
    field: 'conntrack.tcpBeLiberal',
    v1alpha2: { field: 'linux.conntrack.tcpBeLiberal' },
    group: 'Connection tracking',
    help: 'Let packets outside the TCP window pass as valid.',
    change: 'live',
  }),
  conntrackUdpTimeout: timeout('conntrack-udp-timeout', 'conntrack.udpTimeout', {
    help: 'How long a UDP flow without answer is remembered; 0 leaves it alone.',
    default: 0,
  }),
  conntrackUdpStreamTimeout: timeout('conntrack-udp-timeout-stream', 'conntrack.udpStreamTimeout', {
    help: 'How long a UDP flow with answers is remembered; 0 leaves it alone.',
    default: 0,
  }),
}

function ipvsTimeout(flag: string, field: string, what: string) {
  return setting({
    type: duration({ minMs: 0 }),
    default: 0,
    flag,
    field,
    group: 'IPVS',
    help: `${what}; 0 leaves the kernel's value.`,
    onlyIn: 'ipvs',
    change: 'live',
  })
}

export const IPVS_SETTINGS = {
  ipvsScheduler: setting({
    type: text({
      name: 'name',
      pattern: /^[a-z0-9_-]{1,15}$/,
      remedy: 'a scheduler; write one of rr, wrr, lc, wlc, sh, dh, sed, nq, mh, lblc, lblcr, fo, ovf',
    }),
    default: '',
    shownDefault: 'rr',
    flag: 'ipvs-scheduler',
    field: 'ipvs.scheduler',
    group: 'IPVS',
    help: 'How an endpoint is chosen: rr, wrr, lc, wlc, sh, dh, sed, nq, mh, lblc, lblcr, fo or ovf.',
    change: 'restart',
  }),
  ipvsExcludeCidrs: setting({
    type: cidrList,
    default: [],
    flag: 'ipvs-exclude-cidrs',
    field: 'ipvs.excludeCIDRs',
    onlyIn: 'ipvs',
    group: 'IPVS',
    help: 'Virtual servers with addresses in these networks belong to somebody else.',
    change: 'restart',
  }),
  ipvsStrictArp: setting({
    type: bool,
    default: false,
    flag: 'ipvs-strict-arp',
    field: 'ipvs.strictARP',
    group: 'IPVS',
    help: 'Answer ARP only for addresses of the interface that was asked.',
    change: 'restart',
  }),
  ipvsTcpTimeout: ipvsTimeout('ipvs-tcp-timeout', 'ipvs.tcpTimeout', 'Timeout of idle TCP connections'),
  ipvsTcpFinTimeout: ipvsTimeout('ipvs-tcpfin-timeout', 'ipvs.tcpFinTimeout', 'Timeout of TCP after a FIN'),
  ipvsUdpTimeout: ipvsTimeout('ipvs-udp-timeout', 'ipvs.udpTimeout', 'Timeout of UDP flows'),
  ipvsDrainTimeout: setting({
    type: duration({ minMs: 0 }),
    default: 900_000,
    flag: 'ipvs-drain-timeout',
    field: 'fairlead.ipvsDrainTimeout',
    group: 'IPVS',
    help: 'How long a removed endpoint keeps its open connections.',
    change: 'live',
    beatsFile: true,
    zeroCounts: true,
  }),
}
