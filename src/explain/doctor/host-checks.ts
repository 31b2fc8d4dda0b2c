/** Can Fairlead work on this host at all: rights, programs, kernel, settings, time, API server. */
import { OLDEST_NFT, OLDEST_NFTABLES_KERNEL, isOlder } from '../../netfilter/versions.ts'
import { type Check, type Judgement, type NodeFacts, error, ok, warning } from './node-facts.ts'

const NEEDED_CAPABILITIES = ['NET_ADMIN', 'NET_RAW'] as const

export const privileges: Check = {
  name: 'privileges',
  run({ capabilities }) {
    const missing = NEEDED_CAPABILITIES.filter((name) => !capabilities.has(name))
    if (missing.length === 0) return ok('NET_ADMIN and NET_RAW are there')
    return [
      error(`missing capabilities: ${missing.join(', ')}`, 'run as root, or add them to the securityContext'),
    ]
  },
}

/** Oldest versions that have what the modes use. */
const TOOLS: Readonly<Record<string, readonly number[]>> = {
  iptables: [1, 6, 2],
  nft: OLDEST_NFT,
  ipset: [6, 0],
  conntrack: [1, 4, 0],
  ip: [0],
}

const TOOLS_OF_MODE = {
  iptables: ['iptables', 'conntrack', 'ip'],
  ipvs: ['iptables', 'ipset', 'conntrack', 'ip'],
  nftables: ['nft', 'conntrack', 'ip'],
} as const

export const tools: Check = {
  name: 'tools',
  run({ settings, tools: found }) {
    const problems = TOOLS_OF_MODE[settings.mode].flatMap((tool): Judgement[] => {
      const version = found.get(tool)
      if (version === undefined)
        return [
          error(`${tool} is missing, and ${settings.mode} mode needs it`, `install the package with ${tool}`),
        ]
      const oldest = TOOLS[tool] ?? []
      if (!isOlder(version, oldest)) return []
      return [error(`${tool} is too old: ${version}`, `install ${tool} ${oldest.join('.')} or newer`)]
    })
    return problems.length > 0
      ? problems
      : ok(TOOLS_OF_MODE[settings.mode].map((tool) => found.get(tool)).join('; '))
  },
}

const FEATURES_OF_MODE = { iptables: [], ipvs: ['ipset', 'ipvs'], nftables: ['nft'] } as const
const OLDEST_KERNEL = { iptables: [3, 10], ipvs: [4, 1], nftables: OLDEST_NFTABLES_KERNEL } as const

export const kernel: Check = {
  name: 'kernel',
  run({ settings, features, kernelRelease }) {
    const { mode } = settings
    const oldest = OLDEST_KERNEL[mode]
    const old = isOlder(kernelRelease, oldest)
      ? [
          error(
            `Linux ${kernelRelease} is too old for ${mode} mode`,
            `use Linux ${oldest.join('.')} or newer, or another mode`,
          ),
        ]
      : []
    const missing = FEATURES_OF_MODE[mode].flatMap((feature) => {
      const complaint = features.get(feature)
      return complaint === undefined
        ? []
        : [
            error(
              `the kernel does not answer ${feature}: ${complaint}`,
              `load its module, or choose another mode than ${mode}`,
            ),
          ]
    })
    return [...old, ...missing].length > 0
      ? [...old, ...missing]
      : ok(`Linux ${kernelRelease} has what ${mode} mode needs`)
  },
}

export const forwarding: Check = {
  name: 'ip-forward',
  run({ sysctls, settings }) {
    const found: Judgement[] = []
    const { clusterCidrs } = settings.detectLocal
    const mayHaveIpv6 = clusterCidrs.length === 0 || clusterCidrs.some((cidr) => cidr.includes(':'))
    if (sysctls.get('net/ipv4/ip_forward') === '0')
      found.push(
        error('net.ipv4.ip_forward is 0: nothing gets from or to pods', 'sysctl -w net.ipv4.ip_forward=1'),
      )
    if (mayHaveIpv6 && sysctls.get('net/ipv6/conf/all/forwarding') === '0')
      found.push(
        warning(
          'net.ipv6.conf.all.forwarding is 0: no IPv6 gets from or to pods',
          'sysctl -w net.ipv6.conf.all.forwarding=1, if the cluster has IPv6',
        ),
      )
    return found.length > 0 ? found : ok('packets are forwarded')
  },
}

export const conntrack: Check = {
  name: 'conntrack',
  run({ sysctls }) {
    const count = Number(sysctls.get('net/netfilter/nf_conntrack_count') ?? Number.NaN)
    const max = Number(sysctls.get('net/netfilter/nf_conntrack_max') ?? Number.NaN)
    if (!(max > 0)) return ok('connection tracking is not loaded yet')
    const what = `connection tracking holds ${count} of ${max} connections`
    const remedy = 'raise conntrack.min or conntrack.maxPerCore in the configuration'
    if (count >= max * 0.9) return [error(`${what}: new ones are about to be dropped`, remedy)]
    return count >= max * 0.7 ? [warning(what, remedy)] : ok(what)
  },
}

/** No cluster of today has an older clock; machines without a battery start in 1970. */
const EARLIEST_MS = Date.UTC(2025, 0, 1)
const SKEW_MS = 60_000

export const clock: Check = {
  name: 'clock',
  run({ nowMs, api }) {
    const remedy = 'start a time service such as chrony: tokens and certificates depend on it'
    if (nowMs < EARLIEST_MS) return [error(`the clock says ${new Date(nowMs).toISOString()}`, remedy)]
    const ahead = api?.clockAheadMs
    if (ahead === undefined) return ok('the clock is plausible; --kubeconfig compares it with the API server')
    const what = `the clock is ${Math.abs(Math.round(ahead / 1000))} s ${ahead < 0 ? 'behind' : 'ahead of'} the API server`
    return Math.abs(ahead) > SKEW_MS ? [error(what, remedy)] : ok(what)
  },
}

export const apiServer: Check = {
  name: 'api-server',
  run({ api }) {
    if (api === undefined) return ok('not asked; name --kubeconfig to have it asked')
    if (api.unreachable !== undefined)
      return [error(api.unreachable, 'check the address in the kubeconfig, the network, and the credentials')]
    if (api.forbidden.length === 0) return ok('it answers, and allows what the proxy does')
    return [
      error(
        `not allowed: ${api.forbidden.join(', ')}`,
        'bind the ClusterRole of the manifests to this account',
      ),
    ]
  },
}

/** Strict filtering drops replies that come by another interface than the route back goes. */
export const reversePath: Check = {
  name: 'rp-filter',
  run({ sysctls, links }: NodeFacts) {
    const many = links.some(({ name }) => /^(eni|azv)/.test(name))
    const strict = links.filter(({ name }) => effective(sysctls, name) === 1).map(({ name }) => name)
    if (!many || strict.length === 0) return ok('no reply is filtered by its path')
    return [
      warning(
        `rp_filter is strict on ${strict.join(', ')}, and pods have routing tables of their own here`,
        'set net.ipv4.conf.<interface>.rp_filter to 2 (loose)',
      ),
    ]
  },
}

function effective(sysctls: ReadonlyMap<string, string>, device: string): number {
  const read = (name: string): number => Number(sysctls.get(`net/ipv4/conf/${name}/rp_filter`) ?? 0)
  return Math.max(read('all'), read(device))
}
