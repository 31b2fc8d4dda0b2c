/** From a flat value for every setting to the `Config` that the program works with. Pure. */
import { type Cidr, prefixLength } from '../net/cidr.ts'
import { type Ip, familyOf, parseIp } from '../net/ip.ts'
import type { Config, ListenAddress, NodePortAddressesConfig, SyncConfig } from './config.ts'
import { gateValues } from './feature-gates.ts'
import type { SettingValues } from './settings.ts'

export function assembleConfig(values: SettingValues): Config {
  const featureGates = gateValues(values.featureGates)
  const { ipv6 } = preferredFamily(values)
  return {
    mode: values.mode,
    clientConnection: {
      kubeconfig: unlessEmpty(values.kubeconfig),
      apiServers: values.apiServers,
      // As in Kubernetes' clients, zero means that nothing was decided.
      qps: values.qps === 0 ? 5 : values.qps,
      burst: values.burst === 0 ? 10 : values.burst,
    },
    hostnameOverride: unlessEmpty(values.hostnameOverride),
    nodeIpOverride: nodeIps(values),
    ipFamilyPolicy: values.ipFamilyPolicy,
    healthzBindAddress: listenOn(values.healthzBindAddress, values.healthzPort, ipv6 ? '::' : '0.0.0.0'),
    metricsBindAddress: listenOn(values.metricsBindAddress, values.metricsPort, ipv6 ? '::1' : '127.0.0.1'),
    bindAddressHardFail: values.bindAddressHardFail,
    configHardFail: values.configHardFail,
    enableProfiling: values.enableProfiling,
    masqueradeBit: values[`${values.mode}MasqueradeBit`],
    masqueradeAll: values.mode === 'nftables' ? values.nftablesMasqueradeAll : values.iptablesMasqueradeAll,
    localhostNodePorts: values.localhostNodePorts,
    sync: syncOf(values),
    detectLocal: {
      mode: values.detectLocalMode,
      clusterCidrs: values.clusterCidrs,
      bridgeInterface: values.bridgeInterface,
      interfaceNamePrefixes: values.interfaceNamePrefixes,
    },
    nodePortAddresses: nodePortAddressesOf(values),
    nodePortRange: values.nodePortRange,
    conntrack: conntrackOf(values),
    ipvs: ipvsOf(values),
    iptablesVariant: values.iptablesVariant,
    oomScoreAdj: values.oomScoreAdj,
    featureGates,
    allowExternalIps: featureGates['AllowServiceExternalIPs'] ?? true,
    externalIpCidrs: values.externalIpCidrs.length === 0 ? undefined : values.externalIpCidrs,
    stateDir: unlessEmpty(values.stateDir),
    explainSocket: unlessEmpty(values.explainSocket),
    logging: { format: values.loggingFormat, verbosity: values.verbosity },
    configFile: unlessEmpty(values.configFile),
  }
}

function unlessEmpty(text: string): string | undefined {
  return text === '' ? undefined : text
}

/** `0.0.0.0` and `::` say nothing about the node's address. */
function isUnspecified(ip: Ip): boolean {
  return ip === '0.0.0.0' || ip === '::'
}

function nodeIps(values: SettingValues): readonly Ip[] {
  if (values.nodeIpOverride.length > 0) return values.nodeIpOverride
  return values.bindAddress === undefined || isUnspecified(values.bindAddress) ? [] : [values.bindAddress]
}

/** The family that servers without an address of their own listen on: that of the bind address. */
function preferredFamily(values: SettingValues): { readonly ipv6: boolean } {
  const ip = values.bindAddress ?? values.nodeIpOverride[0]
  return { ipv6: ip !== undefined && familyOf(ip) === 'IPv6' }
}

/** The port counts where the address has none; 0 switches the server off. */
function listenOn(
  address: ListenAddress | undefined,
  port: number,
  anyIp: string,
): ListenAddress | undefined {
  if (port === 0) return undefined
  if (address !== undefined && address.port !== 0) return address
  const ip = address?.ip ?? parseIp(anyIp)
  return ip === undefined ? undefined : { ip, port }
}

function syncOf(values: SettingValues): SyncConfig {
  return {
    minSyncPeriodMs: values[`${values.mode}MinSyncPeriod`],
    syncPeriodMs: values[`${values.mode}SyncPeriod`],
  }
}

function nodePortAddressesOf(values: SettingValues): NodePortAddressesConfig {
  const given = values.nodePortAddresses
  if (given.length === 0) return values.mode === 'nftables' ? 'primary' : 'all'
  if (given[0] === 'primary') return 'primary'
  const cidrs = given.filter((item): item is Cidr => item !== 'primary')
  // Everything of both families is what `all` means; one family's everything stays a network of that family.
  const openFamilies = new Set(cidrs.filter((cidr) => prefixLength(cidr) === 0))
  return openFamilies.size === 2 ? 'all' : cidrs
}

function conntrackOf(values: SettingValues): Config['conntrack'] {
  return {
    maxPerCore: values.conntrackMaxPerCore,
    min: values.conntrackMin,
    tcpEstablishedTimeoutMs: values.conntrackTcpEstablishedTimeout,
    tcpCloseWaitTimeoutMs: values.conntrackTcpCloseWaitTimeout,
    tcpBeLiberal: values.conntrackTcpBeLiberal,
    udpTimeoutMs: values.conntrackUdpTimeout,
    udpStreamTimeoutMs: values.conntrackUdpStreamTimeout,
  }
}

function ipvsOf(values: SettingValues): Config['ipvs'] {
  return {
    scheduler: values.ipvsScheduler === '' ? 'rr' : values.ipvsScheduler,
    excludeCidrs: values.ipvsExcludeCidrs,
    strictArp: values.ipvsStrictArp,
    tcpTimeoutMs: values.ipvsTcpTimeout,
    tcpFinTimeoutMs: values.ipvsTcpFinTimeout,
    udpTimeoutMs: values.ipvsUdpTimeout,
    drainTimeoutMs: values.ipvsDrainTimeout,
  }
}
