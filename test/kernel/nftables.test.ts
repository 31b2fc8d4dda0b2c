/** The nftables mode against the real program and kernel, each test in a namespace of its own. */
import { atOnce } from '../../src/collections/sliced.ts'
import { readFileSync } from 'node:fs'
import { createNftablesBackend, type NftablesBackend } from '../../src/backends/nftables/nftables-backend.ts'
import type { BackendObject } from '../../src/backends/nftables/plan-node.ts'
import type { BackendOptions } from '../../src/backends/backend.ts'
import type { Forwarding } from '../../src/forwarding/forwarding.ts'
import type { Cidr } from '../../src/net/cidr.ts'
import type { Exec } from '../../src/kernel/exec.ts'
import { FAMILIES, type Family } from '../../src/net/ip.ts'
import { diffState, isEmpty, type KernelState } from '../../src/netfilter/kernel-state.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import {
  DROP,
  LOCAL_ROUTES,
  NODE_PORT_RANGE,
  REJECT,
  aForwarding,
  aPort,
  anIp,
  everyOrigin,
  withPorts,
} from '../support/forwarding-builder.ts'
import { exampleForwarding } from '../support/iptables-example.ts'
import { asOlderNft } from '../support/older-nft.ts'
import { NetNamespace } from '../support/net-namespace.ts'
import { inNewSpelling, printedTable } from '../support/nftables-example.ts'

const GOLDEN = `${import.meta.dirname}/../golden/nftables/one-service.txt`

/** A few objects as kube-proxy makes them: names that we use, too, with other types and rules. */
const KUBE_PROXY_TABLE = `table ip kube-proxy {
  comment "rules for kube-proxy";
  set cluster-ips { type ipv4_addr; comment "Active ClusterIPs"; elements = { 172.30.0.41 }; }
  map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; elements = { 172.30.0.41 . tcp . 80 : goto service-X-ns/svc/tcp/p80 }; }
  chain nat-output { type nat hook output priority -100; jump services; }
  chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
  chain service-X-ns/svc/tcp/p80 { meta l4proto tcp dnat to 10.180.0.1:80; }
}
`

const signal = AbortSignal.timeout(300_000)
let namespace: NetNamespace

beforeEach(async () => {
  namespace = await NetNamespace.create()
})
afterEach(async () => {
  await namespace.close()
})

function optionsOf(family: Family): BackendOptions {
  const cidr = (family === 'IPv4' ? '10.0.0.0/8' : 'fd00:10::/32') as Cidr
  const detector = { by: 'source', cidr } as const
  return { family, detector, masqueradeMark: 0x4000, dropInvalid: true, nodePortRange: NODE_PORT_RANGE }
}

async function aBackend(
  family: Family,
  changes: Partial<BackendOptions> = {},
  execOf: (exec: Exec) => Exec = (exec) => exec,
): Promise<NftablesBackend> {
  const options = { ...optionsOf(family), ...changes }
  return createNftablesBackend({ options, exec: execOf(namespace.exec), log: silentLogger })
}

/** Brings the kernel to `forwarding` from what is there; resolves to the planned state. */
async function bring(backend: NftablesBackend, forwarding: Forwarding): Promise<KernelState<BackendObject>> {
  const have = await backend.observe(signal)
  const want = backend.plan(forwarding)
  await backend.apply(atOnce(backend.script(diffState(want, have))), signal)
  return want
}

async function expectInKernel(backend: NftablesBackend, want: KernelState<BackendObject>): Promise<void> {
  const changes = diffState(want, await backend.observe(signal))
  expect(changes).toEqual({ created: [], updated: [], removed: [] })
}

/** The table of a family as text, with handles: equal texts mean that nothing was written. */
async function listed(family: Family): Promise<string> {
  return namespace.run('nft', ['-a', 'list', 'table', family === 'IPv4' ? 'ip' : 'ip6', 'kube-proxy'])
}

/** Addresses of either family by a short number. */
function at(family: Family, kind: 'service' | 'pod' | 'outside', n: number): string {
  const prefix = {
    service: ['172.30.0.', 'fd00:30::'],
    pod: ['10.1.0.', 'fd00:10::'],
    outside: ['192.0.2.', '2001:db8::'],
  }
  return `${prefix[kind][family === 'IPv4' ? 0 : 1] ?? ''}${n}`
}

/** One of everything. */
function everything(family: Family): Forwarding {
  const [ip, pod, outside] = (['service', 'pod', 'outside'] as const).map(
    (kind) => (n: number) => at(family, kind, n),
  ) as [(n: number) => string, (n: number) => string, (n: number) => string]
  const target = (n: number, rest = ''): string =>
    family === 'IPv4' ? `${pod(n)}:8080${rest}` : `[${pod(n)}]:8080${rest}`
  const range = family === 'IPv4' ? '198.51.100.0/24' : '2001:db8:1::/64'
  return aForwarding(
    [
      aPort('ns/plain', { family }).clusterIp(ip(1)).endpoints(target(1), target(2, '*')),
      aPort('ns/udp', { family, protocol: 'UDP' }).clusterIp(ip(1), 53).nodePort(30053).endpoints(target(1)),
      aPort('ns/sctp', { family, protocol: 'SCTP' }).clusterIp(ip(1), 36412).endpoints(target(1)),
      aPort('ns/sticky', { family })
        .clusterIp(ip(2))
        .nodePort(30002)
        .affinity(3600)
        .endpoints(target(3), target(4)),
      aPort('ns/weighted', { family }).clusterIp(ip(3)).endpoints(target(5, '=100'), target(6, '=37')),
      aPort('ns/source', { family })
        .clusterIp(ip(4))
        .endpoints(target(7), target(8))
        .with({ algorithm: 'source-hash' }),
      aPort('ns/local', { family })
        .clusterIp(ip(5))
        .nodePort(30005, { routes: LOCAL_ROUTES })
        .loadBalancerIp(outside(5), 80, {
          routes: LOCAL_ROUTES,
          sourceRanges: [range, `${outside(5)}/${family === 'IPv4' ? 32 : 128}`],
        })
        .endpoints(target(9), target(10, '*')),
      aPort('ns/far', { family })
        .clusterIp(ip(6), 80, { routes: everyOrigin(DROP) })
        .externalIp(outside(6), 80, { routes: { ...LOCAL_ROUTES, external: DROP } })
        .endpoints(target(11)),
      aPort('ns/empty', { family })
        .clusterIp(ip(7), 80, { routes: everyOrigin(REJECT) })
        .nodePort(30007, { routes: everyOrigin(REJECT), sourceRanges: [range] }),
      aPort('ns/range', { family, protocol: 'UDP' })
        .clusterIp(ip(8), 10_000, { lastPort: 20_000, sourceRanges: [range] })
        .affinity(60)
        .endpoints(target(12), target(13)),
      aPort('ns/range-empty', { family, protocol: 'UDP' }).clusterIp(ip(9), 10_000, {
        lastPort: 20_000,
        routes: everyOrigin(REJECT),
      }),
    ],
    {
      nodePorts: { scope: 'listed', ips: [anIp(outside(250))] },
      serviceCidrs: [(family === 'IPv4' ? '172.30.0.0/16' : 'fd00:30::/112') as Cidr],
    },
    family,
  )
}

/** What nft is told depends on its version. */
const VERSIONS = [
  ['', (exec: Exec) => exec],
  [', older nft', asOlderNft],
] as const

describe.each(
  FAMILIES.flatMap((family) => VERSIONS.map(([version, execOf]) => ({ family, version, execOf }))),
)('nftables backend, $family$version', ({ family, execOf }) => {
  const theBackend = async (changes: Partial<BackendOptions> = {}): Promise<NftablesBackend> =>
    aBackend(family, changes, execOf)

  test('apply() puts everything in, and observe() reads exactly that back', async () => {
    const backend = await theBackend()
    await expectInKernel(backend, await bring(backend, everything(family)))
  })

  test('a restart writes nothing', async () => {
    await bring(await theBackend(), everything(family))
    const before = await listed(family)
    const again = await theBackend()
    const have = await again.observe(signal)
    const changes = diffState(again.plan(everything(family)), have)
    expect(atOnce(again.script(changes))).toEqual([])
    expect(isEmpty(changes)).toBe(true)
    expect(await listed(family)).toBe(before)
  })

  test('an incremental change ends where a fresh start would, and back', async () => {
    const backend = await theBackend()
    const first = await bring(backend, everything(family))
    const sticky = aPort('ns/sticky', { family })
      .clusterIp(at(family, 'service', 2))
      .endpoints(family === 'IPv4' ? '10.1.0.77:8080' : '[fd00:10::77]:8080')
    const changed = withPorts(everything(family), [
      ['ns/plain:/TCP', undefined],
      ['ns/sticky:/TCP', sticky.build()],
    ])
    const second = backend.plan(changed)
    await backend.apply(atOnce(backend.script(diffState(second, first))), signal)
    await expectInKernel(backend, second)
    await expectInKernel(backend, (await theBackend()).plan(changed))
    const third = backend.plan(everything(family))
    await backend.apply(atOnce(backend.script(diffState(third, second))), signal)
    await expectInKernel(backend, third)
  })

  test('other options on a restart change only the chains they concern', async () => {
    await bring(await theBackend(), everything(family))
    const other = await theBackend({ masqueradeMark: 0x8000, dropInvalid: false })
    await expectInKernel(other, await bring(other, everything(family)))
  })
})

describe('nftables backend', () => {
  test('prints the table that the README shows', async () => {
    await bring(await aBackend('IPv4'), exampleForwarding())
    const text = await namespace.run('nft', ['list', 'table', 'ip', 'kube-proxy'])
    expect(inNewSpelling(printedTable(text))).toBe(inNewSpelling(readFileSync(GOLDEN, 'utf8')))
  })

  test('takes over a table of kube-proxy in one transaction and touches no other table', async () => {
    const foreign = 'table ip other {\n\tchain c {\n\t\taccept comment "not ours"\n\t}\n}\n'
    await namespace.run('nft', ['-f', '-'], `${KUBE_PROXY_TABLE}${foreign}`)
    const backend = await aBackend('IPv4')
    const have = await backend.observe(signal)
    const want = backend.plan(everything('IPv4'))
    const script = atOnce(backend.script(diffState(want, have)))
    expect(script.length).toBe(1)
    await backend.apply(script, signal)
    await expectInKernel(backend, want)
    expect(await namespace.run('nft', ['list', 'table', 'ip', 'other'])).toBe(foreign)
    expect(await namespace.run('nft', ['list', 'tables'])).toBe('table ip other\ntable ip kube-proxy\n')
  })

  test('what was written for an older nft is replaced in one transaction, and the other way round', async () => {
    const forwarding = everything('IPv4')
    await bring(await aBackend('IPv4', {}, asOlderNft), forwarding)
    for (const execOf of [(exec: Exec) => exec, asOlderNft]) {
      const backend = await aBackend('IPv4', {}, execOf)
      const want = backend.plan(forwarding)
      const script = atOnce(backend.script(diffState(want, await backend.observe(signal))))
      expect(script).toHaveLength(1)
      await backend.apply(script, signal)
      await expectInKernel(backend, want)
    }
  })

  test('cleanup() removes the table of its family and nothing else', async () => {
    await namespace.run('nft', ['add', 'table', 'ip', 'other'])
    const [backend, other] = [await aBackend('IPv4'), await aBackend('IPv6')]
    await bring(backend, everything('IPv4'))
    await bring(other, everything('IPv6'))
    expect(await backend.cleanup(signal)).toEqual(['table ip kube-proxy'])
    expect(await backend.cleanup(signal)).toEqual([])
    expect(await namespace.run('nft', ['list', 'tables'])).toBe('table ip other\ntable ip6 kube-proxy\n')
  })

  test('a restart keeps what packets have written', async () => {
    const sticky = aForwarding([
      aPort('ns/sticky').clusterIp('172.30.0.1').affinity(3600).endpoints('10.1.0.1:80'),
    ])
    await bring(await aBackend('IPv4'), sticky)
    const client = '10.0.0.9 . 7 timeout 1h : 10.1.0.1'
    await namespace.run('nft', ['-f', '-'], `add element ip kube-proxy affinity { ${client} }\n`)
    const again = await aBackend('IPv4')
    await expectInKernel(again, await bring(again, sticky))
    const affinity = await namespace.run('nft', ['list', 'map', 'ip', 'kube-proxy', 'affinity'])
    expect(affinity).toContain('10.0.0.9 . 0:7 timeout 1h')
  })

  test('a first load is cut into transactions, and so are great changes of a full table', async () => {
    const many = (count: number, pod: number): Forwarding => {
      const numbers = Array.from({ length: count }, (_, i) => i)
      const ports = numbers.map((n) => {
        const targets = [0, 1, 2, 3].map((e) => `10.${pod}.${n >> 6}.${((n & 63) << 2) + e}:80`)
        return aPort(`ns/s${n}`)
          .clusterIp(`172.30.${n >> 8}.${n & 255}`)
          .endpoints(...targets)
      })
      return aForwarding(ports)
    }
    const backend = await aBackend('IPv4')
    let have = await backend.observe(signal)
    for (const forwarding of [many(6000, 1), many(7000, 2), many(10, 1)]) {
      const want = backend.plan(forwarding)
      const script = atOnce(backend.script(diffState(want, have)))
      expect(script.length).toBeGreaterThan(1)
      await backend.apply(script, signal)
      await expectInKernel(backend, want)
      have = want
    }
  }, 60_000)

  test('blame() names the service port whose element nft refuses', async () => {
    const backend = await aBackend('IPv4')
    const forwarding = everything('IPv4')
    await bring(backend, forwarding)
    const clash = aPort('ns/clash', { protocol: 'UDP' }).clusterIp('172.30.0.8', 15_000, { lastPort: 16_000 })
    const next = withPorts(forwarding, [['ns/clash:/UDP', clash.endpoints('10.1.0.1:80').build()]])
    const error: unknown = await bring(backend, next).catch((caught: unknown) => caught)
    expect(error).toMatchObject({ name: 'KernelError', code: 'rejected' })
    expect(backend.blame(error, next)).toBe('ns/clash:/UDP')
  })

  test('a set or a chain that somebody removed comes back, one too many goes', async () => {
    const backend = await aBackend('IPv4')
    const want = await bring(backend, everything('IPv4'))
    const damage = [
      'flush chain ip kube-proxy services',
      'add rule ip kube-proxy masquerading accept',
      'add chain ip kube-proxy strange { type filter hook input priority 7; }',
      'add rule ip kube-proxy strange drop',
      'add set ip kube-proxy strange { type ipv4_addr; }',
      'add element ip kube-proxy strange { 192.0.2.1 }',
      'delete set ip kube-proxy nodeport-ips',
      'delete element ip kube-proxy cluster-ips { 172.30.0.1 }',
      'flush map ip kube-proxy service-ips',
    ]
    await namespace.run(
      'nft',
      ['-f', '-'],
      'flush chain ip kube-proxy services\nflush chain ip kube-proxy firewall-check\nflush chain ip kube-proxy nodeport-endpoints-check\n',
    )
    await namespace.run('nft', ['-f', '-'], `${damage.join('\n')}\n`)
    await bring(backend, everything('IPv4'))
    await expectInKernel(backend, want)
    expect(await listed('IPv4')).not.toContain('strange')
  })

  test('probe() that cannot ask the kernel itself notices that the table is gone', async () => {
    const backend = await aBackend('IPv4')
    expect(await backend.probe(signal, undefined)).toBeUndefined()
    await bring(backend, everything('IPv4'))
    expect(await backend.probe(signal, undefined)).toBeUndefined()
    await namespace.run('nft', ['delete', 'table', 'ip', 'kube-proxy'])
    expect(await backend.probe(signal, undefined)).toEqual({ what: 'table ip kube-proxy is missing' })
  })

  test('names of API objects never reach the tool', async () => {
    const backend = await aBackend('IPv4')
    const name = 'ns/"; delete table ip kube-proxy; #'
    const want = await bring(
      backend,
      aForwarding([aPort(name, { port: '\n}' }).clusterIp('172.30.0.1').endpoints('10.1.0.1:80')]),
    )
    await expectInKernel(backend, want)
    await expect(aBackend('IPv4', { detector: { by: 'interface', name: 'x" drop' } })).rejects.toMatchObject({
      name: 'KernelError',
      code: 'unsupported',
    })
  })
})
