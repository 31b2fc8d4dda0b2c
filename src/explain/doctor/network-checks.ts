/** How pods are attached to this node, and what that needs: found by the devices that are there. */
import { type Check, type LinkFact, type NodeFacts, error, ok, warning } from './node-facts.ts'

/** One way to attach pods, with the setting by which the node recognises them. */
interface DataPath {
  readonly name: string
  /** Matches the name of a device that proves it. */
  readonly device: RegExp
  readonly kind?: string
  /** The flags to recommend; `$` stands for the device. */
  readonly flags: string
}

const BRIDGE = '--detect-local-mode=BridgeInterface --pod-bridge-interface=$'

function prefix(name: string): string {
  return `--detect-local-mode=InterfaceNamePrefix --pod-interface-name-prefix=${name}`
}

/** In order of how much each proves. */
const DATA_PATHS: readonly DataPath[] = [
  { name: 'Cilium', device: /^lxc/, flags: prefix('lxc') },
  { name: 'Calico', device: /^cali/, flags: prefix('cali') },
  { name: 'AWS VPC CNI', device: /^eni/, flags: prefix('eni') },
  { name: 'Azure CNI', device: /^azv/, flags: prefix('azv') },
  { name: 'GKE', device: /^gke/, flags: prefix('gke') },
  { name: 'Antrea', device: /^antrea-gw0$/, flags: BRIDGE },
  { name: 'Kube-OVN', device: /^ovn0$/, flags: BRIDGE },
  { name: 'kube-router', device: /^kube-bridge$/, flags: BRIDGE },
  { name: 'Weave', device: /^weave$/, flags: BRIDGE },
  { name: 'a bridge', device: /^(cni0|cbr0)$/, kind: 'bridge', flags: BRIDGE },
  {
    name: 'ipvlan',
    device: /./,
    kind: 'ipvlan',
    flags: '--detect-local-mode=ClusterCIDR --cluster-cidr=<pod network>',
  },
  {
    name: 'macvlan',
    device: /./,
    kind: 'macvlan',
    flags: '--detect-local-mode=ClusterCIDR --cluster-cidr=<pod network>',
  },
]

/** The most telling way found, with the recommended flags; `undefined`: no pods, or nothing that we know. */
export function dataPathOf(
  links: readonly LinkFact[],
): { readonly name: string; readonly flags: string } | undefined {
  for (const { name, device, kind, flags } of DATA_PATHS) {
    const link = links.find((one) => device.test(one.name) && (kind === undefined || one.kind === kind))
    if (link !== undefined) return { name: `${name} (${link.name})`, flags: flags.replace('$', link.name) }
  }
  const bridge = podBridges(links)[0]
  if (bridge !== undefined) return { name: `a bridge (${bridge})`, flags: BRIDGE.replace('$', bridge) }
  const routed = links.find(
    ({ name, kind, master }) => kind === 'veth' && master === undefined && name.startsWith('veth'),
  )
  return routed === undefined ? undefined : { name: `routed veths (${routed.name})`, flags: prefix('veth') }
}

/** Our ends of the cables to pods, as far as we know them. */
export function podDevices(links: readonly LinkFact[]): readonly LinkFact[] {
  const bridges = podBridges(links)
  const isNamed = ({ name, kind }: LinkFact): boolean =>
    kind === 'veth' &&
    (name.startsWith('veth') ||
      DATA_PATHS.some(({ device, flags }) => flags.includes('prefix=') && device.test(name)))
  return links.filter(
    (link) =>
      isNamed(link) || (link.kind === 'veth' && link.master !== undefined && bridges.includes(link.master)),
  )
}

/** Bridges that have veths as ports. */
function podBridges(links: readonly LinkFact[]): readonly string[] {
  const masters = new Set(
    links.flatMap(({ kind, master }) => (kind === 'veth' && master !== undefined ? [master] : [])),
  )
  return links.filter(({ name, kind }) => kind === 'bridge' && masters.has(name)).map(({ name }) => name)
}

export const podPath: Check = {
  name: 'pod-path',
  run({ links, settings }) {
    const path = dataPathOf(links)
    const problem = detectorProblem(settings.detectLocal, links)
    if (path === undefined)
      return problem === undefined
        ? ok('no pods are attached yet, or in a way that we do not know')
        : [problem]
    if (problem === undefined) return ok(`pods are attached by ${path.name}; ${path.flags} fits as well`)
    return [
      { ...problem, what: `${problem.what}; they are attached by ${path.name}`, remedy: `set ${path.flags}` },
    ]
  },
}

function detectorProblem(detect: NodeFacts['settings']['detectLocal'], links: readonly LinkFact[]) {
  const anyOf = 'set --detect-local-mode and what it needs'
  switch (detect.mode) {
    case 'ClusterCIDR':
      return detect.clusterCidrs.length > 0
        ? undefined
        : warning('no pod network is configured, so nobody is recognised as a pod', 'set --cluster-cidr')
    case 'NodeCIDR':
      return undefined
    case 'BridgeInterface': {
      const name = detect.bridgeInterface
      return links.some((link) => link.name === name)
        ? undefined
        : error(`pods are to be recognised by bridge ${name}, which does not exist`, anyOf)
    }
    case 'InterfaceNamePrefix': {
      const names = detect.interfaceNamePrefixes
      return links.some((link) => names.some((name) => link.name.startsWith(name)))
        ? undefined
        : warning(`pods are to be recognised by interfaces ${names.join(', ')}*, and there is none`, anyOf)
    }
  }
}

export const bridgeNetfilter: Check = {
  name: 'br-netfilter',
  run({ links, sysctls }) {
    const bridges = podBridges(links)
    if (bridges.length === 0) return ok('no bridge has pods')
    const value = sysctls.get('net/bridge/bridge-nf-call-iptables')
    if (value === '1') return ok(`replies of pods on ${bridges.join(', ')} are translated back`)
    const why = value === undefined ? 'br_netfilter is not loaded' : 'net.bridge.bridge-nf-call-iptables is 0'
    return [
      error(
        `${why}: pods on ${bridges.join(', ')} cannot talk to each other through a Service on this node`,
        'modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1',
      ),
    ]
  },
}

export const hairpin: Check = {
  name: 'hairpin',
  run({ links }) {
    const bridges = podBridges(links)
    const quiet = links.filter(
      ({ kind, master, hairpin: on }) =>
        kind === 'veth' && master !== undefined && bridges.includes(master) && !on,
    )
    const promiscuous = new Set(links.filter((link) => link.promiscuous).map(({ name }) => name))
    const stuck = quiet.filter(({ master }) => master !== undefined && !promiscuous.has(master))
    if (stuck.length === 0)
      return ok(bridges.length === 0 ? 'no bridge has pods' : 'pods can reach themselves')
    const names = stuck.map(({ name }) => name)
    const some =
      names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ')
    return [
      warning(
        `hairpin is off on ${some}: these pods cannot reach themselves through their Service`,
        'set "hairpinMode": true in the CNI configuration, or: bridge link set dev <port> hairpin on',
      ),
    ]
  },
}
