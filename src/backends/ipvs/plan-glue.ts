/**
 * What does not depend on the number of Services: the sets themselves, the few rules that look at them, and the jumps
 * to those rules. The packet's way through them is in README.md.
 */
import { type Origin, ORIGINS } from '../../forwarding/forwarding.ts'
import { type Cidr, hostCidr } from '../../net/cidr.ts'
import type { Family, Ip } from '../../net/ip.ts'
import { type Chain, type SharedRule, chain } from '../../netfilter/iptables/chain.ts'
import {
  loopback,
  markMask,
  masqueradeRules,
  matchDestination,
  matchSource,
  rule,
} from '../../netfilter/iptables/rule.ts'
import { masqueradePorts } from '../../netfilter/masquerade-ports.ts'
import { type IpSet, type SetElement, setElement } from '../../netfilter/ipset/ipset.ts'
import { type DummyDevice, dummyDevice } from '../../netfilter/ipvs/local-route.ts'
import type { BackendOptions, LocalDetector } from '../backend.ts'
import * as names from './names.ts'
import type { RangePlan } from './plan-range.ts'

export interface GlueContext {
  readonly nodePortIps: readonly Ip[]
  readonly serviceCidrs: readonly Cidr[]
}

export type GlueObject = IpSet | SetElement | DummyDevice | Chain | SharedRule

const SERVICE_SETS: readonly names.SetName[] = [
  'KUBE-CLUSTER-IP',
  'KUBE-LOAD-BALANCER',
  'KUBE-EXTERNAL-IP',
  'KUBE-EXTERNAL-IP-LOCAL',
]
const IS_NEW = '-m conntrack --ctstate NEW'

export function planGlue(options: BackendOptions, context: GlueContext): readonly GlueObject[] {
  const { family } = options
  const nodeIps = names.setNameFor('FL-NODE-IPS', family)
  return [
    ...names.allSets(family),
    dummyDevice(names.DEVICE),
    ...context.nodePortIps.map((ip) => setElement(nodeIps, ip)),
    ...natChains(options),
    ...filterChains(options, context),
    ...mangleChains(options),
    ...names.JUMPS,
  ]
}

/** Rules of port ranges: one for each range and kind of sender, and one for each endpoint that can meet itself. */
export function planRangeChains(ranges: readonly RangePlan[], masqueradeMark: number): readonly Chain[] {
  const sorted = ranges.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const sources = sorted.flatMap((range) => range.sources)
  const selves = [...new Set(sorted.flatMap((range) => range.selves))].sort()
  const markSelf = `-j MARK --or-mark ${hexOf(masqueradeMark)}`
  return [
    chain('mangle', names.RANGES, { label: 'source ranges of port ranges', rules: sources }),
    chain('nat', names.SELF, {
      label: 'endpoints of port ranges that return to their sender',
      rules: selves.map((ip) => rule(matchSource(hostCidr(ip)), matchDestination(ip), markSelf)),
    }),
    ...ORIGINS.map((origin) =>
      chain('mangle', names.originChain('FL-RANGES', origin), {
        label: 'port ranges',
        rules: sorted.flatMap((range) => range.byOrigin[origin] ?? []),
      }),
    ),
  ]
}

function natChains(options: BackendOptions): readonly Chain[] {
  const { family, detector, masqueradeMark, nodePortRange } = options
  const inSet = matcher(family)
  const masquerade = `-j ${names.MARK_MASQUERADE}`
  const mark = markMask(masqueradeMark)
  const hex = mark.slice(0, mark.indexOf('/'))
  // With a detector, who is no pod is masqueraded towards every ClusterIP.
  const clusterIps = detector === undefined ? [] : [rule(inSet('KUBE-CLUSTER-IP', 'dst,dst'), masquerade)]
  const marked = (origin: Origin) => rule(inSet(names.originSet('MASQ', origin), 'dst,dst'), masquerade)
  const masqueradeOf = (origin: Origin, more: readonly string[]) =>
    chain('nat', names.originChain('FL-MASQ', origin), {
      label: `who is masqueraded: ${origin}`,
      rules: [marked(origin), ...more],
    })
  return [
    chain('nat', names.MARK_MASQUERADE, { label: 'masquerade later', rules: [`-j MARK --or-mark ${hex}`] }),
    chain('nat', names.SERVICES, {
      label: 'service portals',
      rules: [
        rule(matchSource(loopback(family)), '-j RETURN'),
        '-m addrtype ! --dst-type LOCAL -j RETURN',
        `-j ${names.MASQUERADE}`,
        // Nobody else translates what is a Service: port mappings of the container runtime match any local address.
        ...SERVICE_SETS.map((set) => rule(inSet(set, 'dst,dst'), '-j ACCEPT')),
      ],
    }),
    chain('nat', names.MASQUERADE, { label: 'by sender', rules: byOrigin(detector, 'FL-MASQ') }),
    masqueradeOf('pod', []),
    masqueradeOf('node', [...clusterIps, rule(inSet('KUBE-IPVS-IPS', 'src'), masquerade)]),
    masqueradeOf('external', clusterIps),
    chain('nat', names.POSTROUTING, {
      label: 'marked packets and those that return to their sender',
      rules: [
        rule(inSet('KUBE-LOOP-BACK', 'dst,dst,src'), `-j MARK --or-mark ${hex}`),
        `-j ${names.SELF}`,
        `-m mark ! --mark ${mark} -j RETURN`,
        `-j MARK --xor-mark ${hex}`,
        ...masqueradeRules(masqueradePorts(nodePortRange)),
      ],
    }),
  ]
}

function filterChains(options: BackendOptions, { serviceCidrs }: GlueContext): readonly Chain[] {
  const { family, masqueradeMark } = options
  const inSet = matcher(family)
  const isMarked = `-m mark --mark ${hexOf(names.MARK_PREFIX)}/${hexOf(names.MARK_PREFIX_MASK)}`
  const healthCheck = rule('-p tcp', inSet('KUBE-HEALTH-CHECK-NODE-PORT', 'dst'))
  // An address that a Service has is local and never gets here.
  const unallocated = serviceCidrs.map((cidr) =>
    rule(`-d ${cidr}`, IS_NEW, notInSet(family)('KUBE-IPVS-IPS', 'dst'), '-j DROP'),
  )
  return [
    chain('filter', names.FORWARD, {
      label: 'service traffic',
      rules: [
        ...unallocated,
        `-m mark --mark ${markMask(masqueradeMark)} -j ACCEPT`,
        '-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      ],
    }),
    chain('filter', names.NODE_PORT, { label: 'health checks', rules: [rule(healthCheck, '-j ACCEPT')] }),
    chain('filter', names.IPVS_FILTER, {
      label: 'only service ports answer on service addresses',
      rules: [
        '-m conntrack ! --ctstate NEW -j RETURN',
        rule(notInSet(family)('KUBE-IPVS-IPS', 'dst'), '-j RETURN'),
        ...SERVICE_SETS.map((set) => rule(inSet(set, 'dst,dst'), '-j RETURN')),
        rule(isMarked, '-j RETURN'),
        rule(healthCheck, '-j RETURN'),
        '-j REJECT',
      ],
    }),
    chain('filter', names.IPVS_OUT_FILTER, { label: 'addresses without a service', rules: unallocated }),
  ]
}

function mangleChains({ family, detector, masqueradeMark }: BackendOptions): readonly Chain[] {
  const inSet = matcher(family)
  const guardOf = (origin: Origin) =>
    chain('mangle', names.originChain('FL-GUARD', origin), {
      label: `where packets go: ${origin}`,
      rules: [
        rule(inSet(names.originSet('DROP', origin), 'dst,dst'), '-j DROP'),
        `-j SET --map-set ${names.setNameFor(names.originSet('MARK', origin), family)} dst,dst --map-mark`,
        `-j ${names.originChain('FL-RANGES', origin)}`,
      ],
    })
  return [
    chain('mangle', names.GUARD, {
      label: 'who may reach which virtual server',
      rules: [
        rule(inSet('KUBE-LOAD-BALANCER-FW', 'dst,dst'), `-j ${names.SOURCES}`),
        `-j ${names.RANGES}`,
        ...byOrigin(detector, 'FL-GUARD'),
      ],
    }),
    chain('mangle', names.SOURCES, {
      label: 'source ranges',
      rules: [
        rule(inSet('KUBE-LOAD-BALANCER-SOURCE-CIDR', 'dst,dst,src'), '-j RETURN'),
        rule(inSet('KUBE-LOAD-BALANCER-SOURCE-IP', 'dst,dst,src'), '-j RETURN'),
        '-j DROP',
      ],
    }),
    ...ORIGINS.map(guardOf),
    chain('mangle', names.UNMARK, {
      label: 'the mark has done its work',
      rules: [
        `-m mark --mark ${hexOf(names.MARK_PREFIX)}/${hexOf(names.MARK_PREFIX_MASK)} ` +
          `-j MARK --set-xmark 0x0/${hexOf(~masqueradeMark)}`,
      ],
    }),
  ]
}

/** Each packet goes to exactly one of the chains `<stem>-POD`, `-NODE` and `-EXTERNAL`. */
function byOrigin(detector: LocalDetector | undefined, stem: 'FL-MASQ' | 'FL-GUARD'): readonly string[] {
  const pods = detector === undefined ? [] : [matchPods(detector)]
  return [
    ...pods.map((match) => `${match} -g ${names.originChain(stem, 'pod')}`),
    `-m addrtype --src-type LOCAL -g ${names.originChain(stem, 'node')}`,
    `-g ${names.originChain(stem, 'external')}`,
  ]
}

function matchPods(detector: LocalDetector): string {
  switch (detector.by) {
    case 'source':
      return matchSource(detector.cidr)
    case 'interface':
      return `-i ${detector.name}`
    case 'interface-prefix':
      return `-i ${detector.prefix}+`
  }
}

function matcher(family: Family) {
  return (set: names.SetName, fields: string) =>
    `-m set --match-set ${names.setNameFor(set, family)} ${fields}`
}

function notInSet(family: Family) {
  return (set: names.SetName, fields: string) =>
    `-m set ! --match-set ${names.setNameFor(set, family)} ${fields}`
}

function hexOf(bits: number): string {
  return `0x${(bits >>> 0).toString(16)}`
}
