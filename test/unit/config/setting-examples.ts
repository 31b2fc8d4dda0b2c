/** A good and a bad value for every setting, as a flag and in a file. A row of the table without examples fails. */
import type { SettingName } from '../../../src/config/settings.ts'

export interface SettingExample {
  /** Text of the flag, and the value it stands for. */
  readonly flag?: readonly [string, unknown]
  readonly badFlag?: readonly [string, string]
  /** Value in a file, and the value it stands for. */
  readonly field?: readonly [unknown, unknown]
  readonly badField?: readonly [unknown, string]
  /** Other arguments without which the example does not count. */
  readonly with?: readonly string[]
}

const badBool = { badFlag: ['maybe', 'not a bool'], badField: ['"true"', 'not a bool'] } as const
const bool: SettingExample = { flag: ['true', true], field: [true, true], ...badBool }
const badDuration = { badFlag: ['30', 'with a unit as 30s'], badField: [30, 'not a duration'] } as const
const duration: SettingExample = { flag: ['1m30s', 90_000], field: ['1m30s', 90_000], ...badDuration }
const words: SettingExample = {
  flag: ['x', 'x'],
  field: ['x', 'x'],
  badField: [5, 'write it in quotes as "5"'],
}
const cidrs: SettingExample = {
  flag: ['10.0.0.0/8,fd00::/8', ['10.0.0.0/8', 'fd00::/8']],
  field: [
    ['10.0.0.0/8', 'fd00::/8'],
    ['10.0.0.0/8', 'fd00::/8'],
  ],
  badFlag: ['10.0.0', 'not a CIDR; write it as 10.0.0.0/16'],
  badField: [['fd00::1'], 'not a CIDR; write it as fd00::1/64'],
}
const bit: SettingExample = {
  flag: ['0', 0],
  field: [0, 0],
  badFlag: ['32', 'outside 0 to 31'],
  badField: ['14', 'without quotes'],
}
const count: SettingExample = {
  flag: ['7', 7],
  field: [7, 7],
  badFlag: ['-1', 'outside 0'],
  badField: [-1, 'outside 0'],
}
const zeroDuration: SettingExample = { ...duration, badFlag: ['-1s', 'negative'] }
const ipvs: SettingExample = { with: ['--mode=ipvs'] }

export const EXAMPLES: Record<SettingName, SettingExample> = {
  configFile: {},
  writeConfigTo: { flag: ['/tmp/x', '/tmp/x'] },
  cleanup: { flag: ['true', true], badFlag: badBool.badFlag },
  initOnly: { flag: ['T', true], badFlag: badBool.badFlag },
  hostnameOverride: {
    ...words,
    flag: [' Node-1 ', 'node-1'],
    field: ['Node-1', 'node-1'],
    badFlag: ['  ', 'blank'],
    badField: [5, 'write it in quotes'],
  },
  featureGates: {
    flag: [
      'AllowServiceExternalIPs=false, ComponentFlagz=True',
      { AllowServiceExternalIPs: false, ComponentFlagz: true },
    ],
    field: [{ AllowServiceExternalIPs: false }, { AllowServiceExternalIPs: false }],
    badFlag: ['NFTablesProxyMode=false', 'locked to true'],
    badField: [{ NoSuchGate: true }, 'unknown feature gate "NoSuchGate"'],
  },
  configHardFail: bool,
  stateDir: words,
  explainSocket: words,
  oomScoreAdj: {
    flag: ['-998', -998],
    field: [0, 0],
    badFlag: ['-1001', 'outside -1000 to 1000'],
    badField: [1001, 'outside -1000 to 1000'],
  },
  kubeconfig: words,
  apiServers: {
    flag: ['192.0.2.1:6443', ['https://192.0.2.1:6443']],
    field: [
      ['https://a', 'http://b:8080'],
      ['https://a', 'http://b:8080'],
    ],
    badFlag: ['ftp://a', 'not a server address'],
    badField: [['https://me:secret@a'], 'a server address with a password'],
  },
  contentType: words,
  acceptContentTypes: words,
  burst: count,
  qps: {
    flag: ['2.5', 2.5],
    field: [2.5, 2.5],
    badFlag: ['many', 'not a number'],
    badField: ['5', 'without quotes'],
  },
  configSyncPeriod: {
    ...duration,
    badFlag: ['0', 'not greater than 0'],
    badField: ['-1s', 'not greater than 0'],
  },
  mode: {
    flag: ['ipvs', 'ipvs'],
    field: ['nftables', 'nftables'],
    badFlag: ['userspace', 'write one of iptables, ipvs, nftables'],
    badField: ['IPVS', 'write it as ipvs'],
  },
  iptablesMasqueradeBit: bit,
  ipvsMasqueradeBit: { ...bit, ...ipvs },
  nftablesMasqueradeBit: { ...bit, with: ['--mode=nftables'] },
  iptablesMasqueradeAll: bool,
  nftablesMasqueradeAll: bool,
  iptablesSyncPeriod: { ...duration, badFlag: ['0s', 'not greater than 0'] },
  iptablesMinSyncPeriod: { ...zeroDuration, flag: ['0', 0], field: ['2s', 2000] },
  nftablesSyncPeriod: duration,
  nftablesMinSyncPeriod: { field: ['2s', 2000], badField: ['-2s', 'negative'] },
  ipvsSyncPeriod: duration,
  ipvsMinSyncPeriod: { ...zeroDuration, flag: ['2s', 2000], field: ['2s', 2000] },
  iptablesVariant: {
    flag: ['nft', 'nft'],
    field: ['legacy', 'legacy'],
    badFlag: ['nf_tables', 'write one of auto, legacy, nft'],
    badField: [true, 'write it in quotes'],
  },
  detectLocalMode: {
    flag: ['NodeCIDR', 'NodeCIDR'],
    field: ['NodeCIDR', 'NodeCIDR'],
    badFlag: ['nodecidr', 'write it as NodeCIDR'],
    badField: ['Pods', 'write one of ClusterCIDR'],
  },
  clusterCidrs: {
    ...cidrs,
    flag: ['10.1.2.3/16, fd00::/48', ['10.1.0.0/16', 'fd00::/48']],
    badFlag: ['10.0.0', 'not a CIDR; write it as 10.0.0.0/16'],
    badField: ['10.0.0.0/8,11.0.0.0/8', 'more than one of a family'],
  },
  bridgeInterface: {
    flag: ['cni0', 'cni0'],
    field: ['cni0', 'cni0'],
    badFlag: ['a b', 'not an interface name'],
    badField: ['a b', 'not an interface name'],
  },
  interfaceNamePrefixes: {
    flag: ['veth,eni', ['veth', 'eni']],
    field: ['cali', ['cali']],
    badFlag: ['"; reboot', 'not an interface name'],
    badField: ['0123456789abcdef', 'at most 15'],
  },
  nodePortAddresses: {
    flag: ['primary', ['primary']],
    field: [['192.0.2.0/24'], ['192.0.2.0/24']],
    badFlag: ['primary,10.0.0.0/8', '"primary" beside networks'],
    badField: [['192.0.2.1'], 'not a CIDR'],
  },
  localhostNodePorts: { ...bool, flag: ['false', false], field: [false, false] },
  nodePortRange: {
    flag: ['20000-22767', { first: 20_000, last: 22_767 }],
    field: ['', undefined],
    badFlag: ['32767-30000', 'not a range of ports; write it as 30000-32767'],
    badField: [30_000, 'write it in quotes as "30000"'],
  },
  externalIpCidrs: cidrs,
  conntrackMaxPerCore: count,
  conntrackMin: count,
  conntrackTcpEstablishedTimeout: { ...zeroDuration, field: ['0s', 0] },
  conntrackTcpCloseWaitTimeout: zeroDuration,
  conntrackTcpBeLiberal: bool,
  conntrackUdpTimeout: zeroDuration,
  conntrackUdpStreamTimeout: zeroDuration,
  ipvsScheduler: {
    flag: ['lc', 'lc'],
    field: ['wrr', 'wrr'],
    badFlag: ['r r', 'not a scheduler'],
    badField: ['r r', 'not a scheduler'],
  },
  ipvsExcludeCidrs: { ...cidrs, ...ipvs },
  ipvsStrictArp: bool,
  ipvsTcpTimeout: { ...zeroDuration, ...ipvs },
  ipvsTcpFinTimeout: { ...zeroDuration, ...ipvs },
  ipvsUdpTimeout: { ...zeroDuration, ...ipvs },
  ipvsDrainTimeout: { ...zeroDuration, field: ['0s', 0] },
  bindAddress: {
    flag: ['192.0.2.7', '192.0.2.7'],
    field: ['2001:db8::1', '2001:db8::1'],
    badFlag: ['localhost', 'not an IP address'],
    badField: ['0.0.0', 'not an IP address'],
  },
  nodeIpOverride: {
    flag: ['192.0.2.7,2001:db8::1', ['192.0.2.7', '2001:db8::1']],
    field: [['192.0.2.7'], ['192.0.2.7']],
    badFlag: ['192.0.2.7,192.0.2.8', 'more than one of a family'],
    badField: [['node'], 'not an IP address'],
  },
  ipFamilyPolicy: {
    flag: ['SingleStack', 'SingleStack'],
    field: ['RequireDualStack', 'RequireDualStack'],
    badFlag: ['dual', 'write one of'],
    badField: ['dual', 'write one of'],
  },
  healthzBindAddress: {
    flag: ['[::1]:8080', { ip: '::1', port: 8080 }],
    field: ['127.0.0.1', { ip: '127.0.0.1', port: 0 }],
    badFlag: ['0.0.0.0:99999', 'between 1 and 65535'],
    badField: ['::1:8080:', 'write it as'],
  },
  healthzPort: {
    flag: ['0', 0],
    field: [0, 0],
    badFlag: ['65536', 'outside 0 to 65535'],
    badField: ['x', 'not a whole'],
  },
  metricsBindAddress: {
    flag: ['0.0.0.0:9', { ip: '0.0.0.0', port: 9 }],
    field: ['[::]:9', { ip: '::', port: 9 }],
    badFlag: ['node:9', 'write it as'],
    badField: [9, 'write it in quotes'],
  },
  metricsPort: {
    flag: ['9', 9],
    field: [9, 9],
    badFlag: ['nine', 'not a whole number'],
    badField: [70_000, 'outside'],
  },
  bindAddressHardFail: bool,
  enableProfiling: bool,
  loggingFormat: {
    flag: ['json', 'json'],
    field: ['json', 'json'],
    badFlag: ['xml', 'write one of text, json'],
    badField: ['xml', 'write one of text, json'],
  },
  verbosity: { ...count, badField: [-1, 'outside 0'] },
  vmodule: {
    flag: ['a=1,b*=2', ['a=1', 'b*=2']],
    field: [[{ filePattern: 'a', verbosity: 1 }], ['a=1']],
    badFlag: ['a', 'write it as proxy*=4'],
    badField: [[{ filePattern: 'a=b', verbosity: 1 }], 'without = and ,'],
  },
  machineIdFile: { flag: ['/a,/b', ['/a', '/b']] },
  logFlushFrequency: {
    flag: ['1s', 1000],
    field: [2_000_000_000, 2000],
    badFlag: ['0', 'not greater than 0'],
    badField: [-1, 'not greater'],
  },
  logTextSplitStream: bool,
  logTextInfoBufferSize: {
    flag: ['64Ki', '64Ki'],
    field: [4096, '4096'],
    badFlag: ['64 kB', 'not a quantity'],
    badField: [true, 'not a quantity'],
  },
  logJsonSplitStream: bool,
  logJsonInfoBufferSize: {
    flag: ['1M', '1M'],
    field: ['1e3', '1e3'],
    badFlag: ['lots', 'not a quantity'],
    badField: ['lots', 'not a quantity'],
  },
  bootIdFile: { flag: ['/x', '/x'] },
  showHiddenMetricsForVersion: {
    flag: ['1.35', '1.35'],
    field: ['1.35', '1.35'],
    badFlag: ['latest', 'a minor version'],
    badField: ['latest', 'a minor version'],
  },
  portRange: words,
  windowsRunAsService: bool,
  winkernelNetworkName: words,
  winkernelSourceVip: words,
  winkernelEnableDsr: bool,
  winkernelRootHnsEndpointName: words,
  winkernelForwardHealthCheckVip: bool,
}
