/** The rules and sets of the IPVS mode need no IPVS: both variants of iptables take them and give them back. */
import { atOnce } from '../../src/collections/sliced.ts'
import type { BackendOptions, LocalDetector } from '../../src/backends/backend.ts'
import { observedRules, observedSets } from '../../src/backends/ipvs/observe.ts'
import type { IpvsObject } from '../../src/backends/ipvs/plan-port.ts'
import { IpvsPlanner } from '../../src/backends/ipvs/plan.ts'
import { scriptFor } from '../../src/backends/ipvs/script.ts'
import {
  diffState,
  emptyState,
  isEmpty,
  type KernelState,
  observedState,
} from '../../src/netfilter/kernel-state.ts'
import type { Cidr } from '../../src/net/cidr.ts'
import type { Family } from '../../src/net/ip.ts'
import { aForwarding, anIp, aPort, LOCAL_ROUTES } from '../support/forwarding-builder.ts'
import { NetNamespace } from '../support/net-namespace.ts'
import { describeKernel } from '../support/skip-reasons.ts'

const ADDRESSES = {
  IPv4: {
    pods: '10.244.0.0/16',
    node: '192.168.0.2',
    cluster: '172.30.0.1',
    balancer: '203.0.113.9',
    source: '198.51.100.0/24',
    pod: '10.244.0.1',
  },
  IPv6: {
    pods: 'fd00:10::/64',
    node: 'fd01::2',
    cluster: 'fd00:172:30::1',
    balancer: '2001:db8::9',
    source: '2001:db8:1::/48',
    pod: '[fd00:10::1]',
  },
} as const

const DETECTORS: readonly (LocalDetector | undefined)[] = [
  undefined,
  { by: 'interface', name: 'cni0' },
  { by: 'interface-prefix', prefix: 'veth' },
]

function plan(family: Family, detector: LocalDetector | undefined): KernelState<IpvsObject> {
  const { balancer, cluster, node, pod, source } = ADDRESSES[family]
  const options: BackendOptions = { family, detector, masqueradeMark: 0x4000, dropInvalid: true }
  const forwarding = aForwarding(
    [
      aPort('ns/lb', { family })
        .clusterIp(cluster)
        .loadBalancerIp(balancer, 443, { routes: LOCAL_ROUTES, sourceRanges: [source] })
        .nodePort(30443, { routes: LOCAL_ROUTES })
        .endpoints(`${pod}:8443*`),
      aPort('ns/range', { family })
        .clusterIp(cluster, 10000, { lastPort: 20000, sourceRanges: [source] })
        .endpoints(`${pod}:1*`),
    ],
    {
      localIps: [anIp(node)],
      primaryIp: anIp(node),
      serviceCidrs: [`${cluster}/128` as Cidr].slice(family === 'IPv4' ? 1 : 0),
    },
    family,
  )
  return new IpvsPlanner({ options, nodeName: 'node' }).plan(forwarding, {
    defaultScheduler: 'rr',
    unavailable: new Set(),
  })
}

describe.each(['legacy', 'nft'] as const)('the %s variant', (variant) => {
  describeKernel(
    `IPVS rules in ${variant} iptables`,
    ['namespaces', 'ipset', 'ipv6', `iptables-${variant}`],
    () => {
      const cases = (['IPv4', 'IPv6'] as const).flatMap((family) => {
        const bySource: LocalDetector = { by: 'source', cidr: ADDRESSES[family].pods as Cidr }
        return [...DETECTORS, bySource].map((detector) => [family, detector?.by ?? 'none', detector] as const)
      })

      test.each(cases)('%s, pods told by %s', async (family, _, detector) => {
        const namespace = await NetNamespace.create()
        const program = `${family === 'IPv4' ? 'iptables' : 'ip6tables'}-${variant}`
        const context = { family, restoreProgram: `${program}-restore`, draining: new Set<string>() }
        const run = async (changes: ReturnType<typeof diffState<IpvsObject>>) => {
          for (const { file, args, stdin } of atOnce(scriptFor(changes, context)))
            if (file !== 'ipvsadm' && file !== 'ip') await namespace.run(file, args, stdin)
        }
        const seen = async () =>
          observedState<IpvsObject>([
            ...observedSets(await namespace.run('ipset', ['save']), family),
            ...atOnce(observedRules(await namespace.run(`${program}-save`, []))),
          ])
        try {
          const want = plan(family, detector)
          await run(diffState(want, emptyState()))
          const glue = observedState(
            [...want.values()]
              .flatMap((fragment) => [...fragment.values()])
              .filter(({ kind }) => ['set', 'element', 'chain', 'shared-rule'].includes(kind)),
          )
          const difference = diffState(glue, await seen())
          expect(difference).toEqual({ created: [], updated: [], removed: [] })
          expect(isEmpty(difference)).toBe(true)
          await run(diffState(emptyState(), await seen()))
          expect([...(await seen()).values()].flatMap((fragment) => [...fragment.keys()])).toEqual([])
        } finally {
          await namespace.close()
        }
      })
    },
  )
})
