/** Who else writes rules here: other proxies, the other iptables variant, marks and places that clash with ours. */
import {
  type Check,
  type IptablesVariantName,
  type Judgement,
  type NodeFacts,
  error,
  ok,
  warning,
} from './node-facts.ts'

const PROXIES: ReadonlySet<string> = new Set(['kube-proxy', 'kube-router'])

/** Devices of software that usually does Services itself. */
const DOERS: readonly (readonly [RegExp, string])[] = [
  [/^cilium_host$/, 'Cilium (unless kube-proxy replacement is off)'],
  [/^ovn-k8s-mp0$/, 'OVN-Kubernetes'],
  [/^antrea-gw0$/, 'Antrea (with proxyAll)'],
  [/^bpf(in|out)\.cali$/, 'Calico in eBPF mode'],
  [/^vhost0$/, 'Contrail (for pods)'],
]

/** Programs of such software, by the first 15 letters that the kernel keeps of their names. */
const WORKERS: readonly (readonly [RegExp, string])[] = [
  [/^nsx-/, 'NSX-T (for pods)'],
  [/^opflex[-_]agent$/, 'ACI (for pods)'],
]

export const otherProxies: Check = {
  name: 'other-proxies',
  run({ processes, links, iptables, nftTables, settings }) {
    const found: Judgement[] = []
    const running = [...new Set(processes.filter((name) => PROXIES.has(name)))]
    if (running.length > 0)
      found.push(
        error(
          `${running.join(', ')} runs on this node`,
          'end it: two proxies write over each other for ever',
        ),
      )
    for (const [device, who] of DOERS)
      if (links.some(({ name }) => device.test(name)))
        found.push(warning(`${who} may serve Services here`, 'let only one of them do it'))
    for (const [process, who] of WORKERS)
      if (processes.some((name) => process.test(name)))
        found.push(warning(`${who} may serve Services here`, 'let only one of them do it'))
    for (const variant of ['nft', 'legacy'] as const)
      if (/^:KUBE-(SVC|SEP)-/m.test(iptables[variant]) && running.length === 0)
        found.push(
          warning(
            `rules of a former kube-proxy are in iptables (${variant})`,
            'the proxy takes them over in iptables and ipvs mode; otherwise run "kube-proxy --cleanup"',
          ),
        )
    if (settings.mode !== 'nftables' && nftTables.some((name) => /^ip6? kube-proxy$/.test(name)))
      found.push(
        warning(
          'nftables has a table kube-proxy',
          `run "fairlead --cleanup": ${settings.mode} mode does not use it`,
        ),
      )
    return found.length > 0 ? found : ok('nobody else serves Services')
  },
}

const HINT = /^:(KUBE-IPTABLES-HINT|KUBE-KUBELET-CANARY) /m

export const iptablesVariant: Check = {
  name: 'iptables-variant',
  run(facts) {
    if (facts.settings.mode === 'nftables') return ok('iptables is not used')
    const { iptablesVariant: wanted } = facts.settings
    const hinted = hintedVariant(facts)
    const other: IptablesVariantName =
      (wanted === 'auto' ? (hinted ?? 'nft') : wanted) === 'nft' ? 'legacy' : 'nft'
    if (wanted !== 'auto' && hinted !== undefined && hinted !== wanted)
      return [
        error(
          `kubelet uses iptables (${hinted}), and ${wanted} is configured`,
          'set iptablesVariant to auto',
        ),
      ]
    if (!HAS_PROXY_CHAINS.test(facts.iptables[other]))
      return ok(hinted === undefined ? 'one variant is in use' : `kubelet uses ${hinted}`)
    return [
      warning(
        `rules of a service proxy are left in iptables (${other}), where nobody looks after them`,
        `run "fairlead --cleanup --iptables-variant=${other}"`,
      ),
    ]
  },
}

/** Chains that only service proxies make; kubelet makes some KUBE- chains as well. */
const HAS_PROXY_CHAINS = /^:(?:KUBE-(?:SERVICES|SVC|SEP|NODEPORTS|PROXY|FORWARD)|FL-)/m

function hintedVariant({ iptables }: NodeFacts): IptablesVariantName | undefined {
  return (['nft', 'legacy'] as const).find((variant) => HINT.test(iptables[variant]))
}

export const marks: Check = {
  name: 'marks',
  run({ settings, ipRules, iptables }) {
    const bit = 2 ** settings.masqueradeBit
    const remedy = `choose another bit with --iptables-masquerade-bit than ${settings.masqueradeBit}`
    const rules = ipRules
      .filter(({ mark, mask }) => hasBit(mask, bit) && hasBit(mark, bit))
      .map(({ priority, mark }) =>
        warning(`ip rule ${priority} routes by mark 0x${mark.toString(16)}`, remedy),
      )
    const writers = [...new Set([...foreignMarks(iptables.nft, bit), ...foreignMarks(iptables.legacy, bit)])]
    const found = [
      ...rules,
      ...writers.map((rule) => warning(`somebody else writes our mark bit: ${rule}`, remedy)),
    ]
    return found.length > 0 ? found : ok(`nobody else uses mark 0x${bit.toString(16)}`)
  },
}

/** Rules outside of our own chains that set or clear the bit. */
function foreignMarks(text: string, bit: number): string[] {
  return text.split('\n').filter((line) => {
    const match =
      /^-A (\S+) .*-j (?:MARK --set-x?mark|CONNMARK --restore-mark.*--mask) (0x[0-9a-f]+)(?:\/(0x[0-9a-f]+))?/.exec(
        line,
      )
    const [, chain = '', , mask = '0xffffffff'] = match ?? []
    return match !== null && !/^(KUBE|FL)-/.test(chain) && hasBit(Number(mask), bit)
  })
}

function hasBit(value: number, bit: number): boolean {
  return Math.floor(value / bit) % 2 === 1
}

/** Where each of our jumps stands, and what makes it useless when it stands before. */
const PLACES = [
  ['nat', 'PREROUTING', 'KUBE-SERVICES'],
  ['nat', 'OUTPUT', 'KUBE-SERVICES'],
  ['nat', 'POSTROUTING', 'KUBE-POSTROUTING'],
  ['filter', 'FORWARD', 'KUBE-FORWARD'],
] as const

export const jumpOrder: Check = {
  name: 'jump-order',
  run({ settings, iptables }) {
    if (settings.mode === 'nftables') return ok('hooks have priorities in nftables mode')
    const found = (['nft', 'legacy'] as const).flatMap((variant) =>
      PLACES.flatMap(([table, chain, target]) => {
        const blocker = blockerOf(rulesOf(iptables[variant], table, chain), target)
        return blocker === undefined
          ? []
          : [
              error(
                `${table} ${chain} (${variant}) ends before it gets to ${target}: ${blocker}`,
                'delete that rule, or let its owner append it behind ours',
              ),
            ]
      }),
    )
    return found.length > 0 ? found : ok('nothing takes packets away before us')
  },
}

function rulesOf(text: string, table: string, chain: string): readonly string[] {
  const section = text.split(/^\*/m).find((part) => part.startsWith(`${table}\n`)) ?? ''
  return section.split('\n').filter((line) => line.startsWith(`-A ${chain} `))
}

/** A rule for every packet that ends the way of all, before our jump. */
function blockerOf(rules: readonly string[], target: string): string | undefined {
  const at = rules.findIndex((rule) => rule.endsWith(`-j ${target}`))
  return rules
    .slice(0, Math.max(0, at))
    .find((rule) =>
      /^-A \S+(?: -m comment --comment (?:"[^"]*"|\S+))? -j (?:ACCEPT|DROP|REJECT|RETURN|MASQUERADE)\b/.test(
        rule,
      ),
    )
}
