/** What a packet meets on its way between pods and nodes: sizes, VRFs, and the way to 127.0.0.1. */
import { type Check, type Judgement, type LinkFact, type NodeFacts, ok, warning } from './node-facts.ts'
import { podDevices } from './network-checks.ts'

/** Bytes that a tunnel puts before each packet, at least (over IPv4). */
const OVERHEAD: Readonly<Record<string, number>> = {
  vxlan: 50,
  geneve: 50,
  wireguard: 60,
  gre: 24,
  gretap: 38,
  ipip: 20,
  sit: 20,
  ip6tnl: 40,
}

export const mtu: Check = {
  name: 'mtu',
  run({ links, underlay }) {
    const under = links.find(({ name }) => name === underlay)
    const tunnels = links.filter(({ kind, up }) => up && OVERHEAD[kind] !== undefined)
    const found = [
      ...tunnels.flatMap((tunnel) => tooLarge(tunnel, links, under)),
      ...podsTooLarge(links, tunnels, under),
    ]
    if (found.length > 0) return found
    return ok(
      under === undefined ? 'there is no default route to compare with' : 'packets of pods fit on their way',
    )
  },
}

/** A tunnel whose packets do not fit through the device below it. */
function tooLarge(
  tunnel: LinkFact,
  links: readonly LinkFact[],
  under: LinkFact | undefined,
): readonly Judgement[] {
  const below = links.find(({ name }) => name === tunnel.lower) ?? under
  if (below === undefined) return []
  const most = below.mtu - (OVERHEAD[tunnel.kind] ?? 0)
  if (tunnel.mtu <= most) return []
  return [
    warning(
      `${tunnel.kind} ${tunnel.name} has MTU ${tunnel.mtu}, and ${below.name} below it leaves ${most}: large packets to other nodes are lost or cut up`,
      `set the MTU of the pod network to ${most} in the CNI configuration, or: ip link set dev ${tunnel.name} mtu ${most}`,
    ),
  ]
}

/** Pods that send larger packets than their way to other nodes takes. */
function podsTooLarge(
  links: readonly LinkFact[],
  tunnels: readonly LinkFact[],
  under: LinkFact | undefined,
): readonly Judgement[] {
  const way = tunnels.length === 1 ? tunnels[0] : under
  if (way === undefined || tunnels.length > 1) return []
  const large = podDevices(links).filter((device) => device.mtu > way.mtu)
  if (large.length === 0) return []
  const [first] = large
  return [
    warning(
      `${large.length} pod devices such as ${first?.name ?? ''} have MTU ${first?.mtu ?? 0}, and ${way.name} takes ${way.mtu}: large packets to other nodes are lost or cut up`,
      `set the MTU of the pod network to ${way.mtu} in the CNI configuration, and start the pods anew`,
    ),
  ]
}

const L3MDEV = ['net/ipv4/tcp_l3mdev_accept', 'net/ipv4/udp_l3mdev_accept'] as const

export const vrf: Check = {
  name: 'vrf',
  run({ links, sysctls, settings }: NodeFacts) {
    const vrfs = new Set(links.filter(({ kind }) => kind === 'vrf').map(({ name }) => name))
    const members = links.filter(({ master }) => master !== undefined && vrfs.has(master))
    if (members.length === 0) return ok('no device belongs to a VRF')
    const names = members.map(({ name, master }) => `${name} (${master ?? ''})`).join(', ')
    const found: Judgement[] = []
    if (/Interface/.test(settings.detectLocal.mode))
      found.push(
        warning(
          `pods are to be recognised by their interface, and behind a VRF the kernel shows that in its place: ${names}`,
          'recognise them by address: --detect-local-mode=ClusterCIDR or NodeCIDR',
        ),
      )
    const refusing = L3MDEV.filter((key) => sysctls.get(key) === '0')
    if (refusing.length > 0)
      found.push(
        warning(
          `programs on this node do not answer connections out of a VRF: ${names}`,
          `sysctl -w ${refusing.map((key) => `${key.replaceAll('/', '.')}=1`).join(' ')}`,
        ),
      )
    return found.length > 0 ? found : ok(`devices in a VRF: ${names}`)
  },
}

/** kubelet's rule, and ours: who is not on this host does not reach 127.0.0.0/8. */
const GUARD = /^-A KUBE-FIREWALL .*-d 127\.0\.0\.0\/8 .*-j DROP/m

export const routeLocalnet: Check = {
  name: 'route-localnet',
  run({ sysctls, settings, iptables, nftTables }) {
    const isOn = sysctls.get('net/ipv4/conf/all/route_localnet') === '1'
    if (!isOn) return ok('127.0.0.0/8 stays inside of the host')
    const ours =
      settings.mode === 'nftables' && nftTables.includes('ip kube-proxy') && settings.localhostNodePorts
    if (ours || GUARD.test(iptables.nft) || GUARD.test(iptables.legacy))
      return ok('route_localnet is on, and guarded')
    return [
      warning(
        'net.ipv4.conf.all.route_localnet is 1 without a rule that guards it: neighbours reach what listens on 127.0.0.1',
        'sysctl -w net.ipv4.conf.all.route_localnet=0, or let kubelet or the proxy write its guard (CVE-2020-8558)',
      ),
    ]
  },
}
