/** The nftables mode against the real program and kernel, each test in a namespace of its own. */
import { createNftablesBackend, type NftablesBackend } from '../../src/backends/nftables/nftables-backend.ts'
import type { BackendObject } from '../../src/backends/nftables/plan-node.ts'
import type { BackendOptions } from '../../src/backends/backend.ts'
import type { Forwarding } from '../../src/forwarding/forwarding.ts'
import type { Cidr } from '../../src/net/cidr.ts'
import { FAMILIES, type Family } from '../../src/net/ip.ts'
import { diffState, isEmpty, type KernelState } from '../../src/netfilter/kernel-state.ts'
import { silentLogger } from '../../src/runtime/logger.ts'
import {
  DROP,
  LOCAL_ROUTES,
  REJECT,
  aForwarding,
  aPort,
  anIp,
  everyOrigin,
  withPorts,
} from '../support/forwarding-builder.ts'
import { NetNamespace } from '../support/net-namespace.ts'

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
  return { family, detector: { by: 'source', cidr }, masqueradeMark: 0x4000, dropInvalid: true }
}

async function aBackend(family: Family, changes: Partial<BackendOptions> = {}): Promise<NftablesBackend> {
  const options = { ...optionsOf(family), ...changes }
  return createNftablesBackend({ options, exec: namespace.exec, log: silentLogger })
}

/** Brings the kernel to `forwarding` from what is there; resolves to the planned state. */
async function bring(backend: NftablesBackend, forwarding: Forwarding): Promise<KernelState<BackendObject>> {
  const have = await backend.observe(signal)
  const want = backend.plan(forwarding)
  await backend.apply(backend.script(diffState(want, have)), signal)
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

describe.each(FAMILIES)('nftables backend, %s', (family) => {
  test('apply() puts everything in, and observe() reads exactly that back', async () => {
    const backend = await aBackend(family)
    await expectInKernel(backend, await bring(backend, everything(family)))
  })

  test('a restart writes nothing', async () => {
    await bring(await aBackend(family), everything(family))
    const before = await listed(family)
    const again = await aBackend(family)
    const have = await again.observe(signal)
    const changes = diffState(again.plan(everything(family)), have)
    expect(again.script(changes)).toEqual([])
    expect(isEmpty(changes)).toBe(true)
    expect(await listed(family)).toBe(before)
  })

  test('an incremental change ends where a fresh start would, and back', async () => {
    const backend = await aBackend(family)
    const first = await bring(backend, everything(family))
    const sticky = aPort('ns/sticky', { family })
      .clusterIp(at(family, 'service', 2))
      .endpoints(family === 'IPv4' ? '10.1.0.77:8080' : '[fd00:10::77]:8080')
    const changed = withPorts(everything(family), [
      ['ns/plain:/TCP', undefined],
      ['ns/sticky:/TCP', sticky.build()],
    ])
    const second = backend.plan(changed)
    await backend.apply(backend.script(diffState(second, first)), signal)
    await expectInKernel(backend, second)
    await expectInKernel(backend, (await aBackend(family)).plan(changed))
    const third = backend.plan(everything(family))
    await backend.apply(backend.script(diffState(third, second)), signal)
    await expectInKernel(backend, third)
  })

  test('other options on a restart change only the chains they concern', async () => {
    await bring(await aBackend(family), everything(family))
    const other = await aBackend(family, { masqueradeMark: 0x8000, dropInvalid: false })
    await expectInKernel(other, await bring(other, everything(family)))
  })
})
