/** The addresses of the project's own cases, one plan for each family, so that every case runs in both. */
import type { Family } from '../../src/net/ip.ts'
import type { ConformanceNode } from './conformance-case.ts'

export interface AddressPlan {
  readonly family: Family
  readonly node: string
  /** A second address of the node. */
  readonly otherNodeAddress: string
  /** Local to the node and used as an external IP. */
  readonly localExternalIp: string
  readonly externalIp: string
  readonly loadBalancerIp: string
  readonly otherLoadBalancerIp: string
  readonly clusterIp: string
  readonly otherClusterIp: string
  readonly unallocated: string
  /** A pod that is nobody's endpoint. */
  readonly pod: string
  readonly client: string
  readonly clientOutsideRange: string
  /** Holds `client` alone of the two. */
  readonly clientRange: string
  /** Holds the node's own address. */
  readonly nodeRange: string
  readonly everybody: string
  readonly serviceCidr: string
  readonly podCidr: string
  /** Holds the pods of this node alone. */
  readonly ownPodCidr: string
  /** A pod of another node that is nobody's endpoint. */
  readonly remotePod: string
  /** Outside of `serviceCidr`. */
  readonly strayClusterIp: string
  readonly localhost: string
  /** The n-th endpoint address; they do not depend on where it runs. */
  readonly endpoint: (n: number) => string
  /** `ip:port` text, with brackets where the family needs them. */
  readonly at: (ip: string, port: number) => string
}

const IPV4: AddressPlan = {
  family: 'IPv4',
  node: '192.168.0.2',
  otherNodeAddress: '192.168.1.2',
  localExternalIp: '192.168.99.11',
  externalIp: '192.168.99.22',
  loadBalancerIp: '1.2.3.4',
  otherLoadBalancerIp: '5.6.7.8',
  clusterIp: '172.30.0.41',
  otherClusterIp: '172.30.0.42',
  unallocated: '172.30.0.50',
  pod: '10.0.0.2',
  client: '203.0.113.2',
  clientOutsideRange: '203.0.113.130',
  clientRange: '203.0.113.0/25',
  nodeRange: '192.168.0.0/24',
  everybody: '0.0.0.0/0',
  serviceCidr: '172.30.0.0/16',
  podCidr: '10.0.0.0/8',
  ownPodCidr: '10.0.0.0/24',
  remotePod: '10.9.0.7',
  strayClusterIp: '172.29.0.1',
  localhost: '127.0.0.1',
  endpoint: (n) => `10.180.0.${n}`,
  at: (ip, port) => `${ip}:${port}`,
}

const IPV6: AddressPlan = {
  family: 'IPv6',
  node: '2001:db8::1',
  otherNodeAddress: '2001:db8:1::2',
  localExternalIp: '2001:db8:99::11',
  externalIp: '2001:db8:99::22',
  loadBalancerIp: '2600:1:2:3::4',
  otherLoadBalancerIp: '2600:5:6:7::8',
  clusterIp: 'fd00:172:30::41',
  otherClusterIp: 'fd00:172:30::42',
  unallocated: 'fd00:172:30::50',
  pod: 'fd00:10::2',
  client: '2600:5200::1',
  clientOutsideRange: '2600:5200:8000::1',
  clientRange: '2600:5200::/33',
  nodeRange: '2001:db8::/64',
  everybody: '::/0',
  serviceCidr: 'fd00:172:30::/112',
  podCidr: 'fd00:10::/32',
  ownPodCidr: 'fd00:10::/64',
  remotePod: 'fd00:10:9::7',
  strayClusterIp: 'fd00:29::1',
  localhost: '::1',
  endpoint: (n) => `fd00:10:180::${n}`,
  at: (ip, port) => `[${ip}]:${port}`,
}

export function addressPlan(family: Family): AddressPlan {
  return family === 'IPv4' ? IPV4 : IPV6
}

export const THIS_NODE = 'test-node'
export const OTHER_NODE = 'other-node'
export const ZONE = 'zone-a'

/** The node of a case: a detector for pods, NodePorts on every address, no localhost. */
export function nodeOf(plan: AddressPlan, changes: Partial<ConformanceNode> = {}): ConformanceNode {
  return {
    name: THIS_NODE,
    ips: [plan.node, plan.otherNodeAddress, plan.localExternalIp],
    primaryIps: [plan.node],
    zone: ZONE,
    family: plan.family,
    nodePortAddresses: 'all',
    detectorCidr: plan.podCidr,
    masqueradeAll: false,
    localhostNodePorts: false,
    serviceCidrs: [plan.serviceCidr],
    ...changes,
  }
}
