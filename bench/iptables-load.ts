/**
 * What the iptables backend costs by itself: `node bench/iptables-load.ts [legacy|nft] [services] [endpoints]`, as root.
 * Prints the time to plan, load, read back, change one endpoint and probe, and the memory of this process.
 */
import { atOnce } from '../src/collections/sliced.ts'
import { createIptablesBackend } from '../src/backends/iptables/iptables-backend.ts'
import type { IptablesVariant } from '../src/kernel/iptables.ts'
import { diffState, emptyState } from '../src/netfilter/kernel-state.ts'
import { parseCidr } from '../src/net/cidr.ts'
import { silentLogger } from '../src/runtime/logger.ts'
import { aForwarding, aPort, withPorts } from '../test/support/forwarding-builder.ts'
import { NetNamespace } from '../test/support/net-namespace.ts'

const [variant = 'legacy', services = '10000', endpoints = '5'] = process.argv.slice(2)
const signal = new AbortController().signal

async function timed<T>(what: string, action: () => T | Promise<T>): Promise<T> {
  const started = performance.now()
  const result = await action()
  console.log(`${what.padEnd(46)} ${(performance.now() - started).toFixed(1).padStart(9)} ms`)
  return result
}

function clusterIp(i: number): string {
  // Scattered over a /16, as the API server's allocator does.
  const n = (i * 40_503) % 65_536
  return `172.30.${n >> 8}.${n & 255}`
}

function port(i: number, shift = 0) {
  const texts = Array.from({ length: Number(endpoints) }, (_, e) => {
    const n = i * Number(endpoints) + e + shift
    return `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}:8080`
  })
  return aPort(`ns-${i % 50}/service-${i}`, { port: 'http' })
    .clusterIp(clusterIp(i))
    .endpoints(...texts)
    .build()
}

async function main() {
  const ns = await NetNamespace.create()
  try {
    const backend = await createIptablesBackend({
      options: {
        family: 'IPv4',
        detector: { by: 'source', cidr: parseCidr('10.0.0.0/8')! },
        masqueradeMark: 0x4000,
        dropInvalid: true,
      },
      exec: ns.exec,
      variant: variant as IptablesVariant,
      log: silentLogger,
    })
    const forwarding = aForwarding(Array.from({ length: Number(services) }, (_, i) => port(i)))
    const want = await timed('plan everything', () => backend.plan(forwarding))
    const script = await timed('diff and script', () => atOnce(backend.script(diffState(want, emptyState()))))
    const text = script.map(({ stdin }) => stdin).join('')
    console.log(
      `chains ${text.match(/^:/gm)?.length ?? 0}, rules ${text.match(/^-A/gm)?.length ?? 0}, ${text.length} bytes`,
    )
    await timed('apply everything', () => backend.apply(script, signal))
    const seen = await timed('observe', () => backend.observe(signal))
    const rest = diffState(want, seen)
    console.log(
      'differences after reading back:',
      rest.created.length,
      rest.updated.length,
      rest.removed.length,
    )
    let current = forwarding
    for (const [i, shift] of [
      [7, 1],
      [4711, 1],
      [9999 % Number(services), 1],
    ] as const) {
      const changed = port(i, shift)
      const next = withPorts(current, [[changed.key, changed]])
      const plan = await timed(`one endpoint: plan`, () => backend.plan(next))
      const step = atOnce(backend.script(diffState(plan, backend.plan(current))))
      backend.plan(next)
      await timed(`one endpoint: apply (${step[0]?.stdin.length ?? 0} bytes)`, () =>
        backend.apply(step, signal),
      )
      current = next
    }
    const without = withPorts(current, [[port(17).key, undefined]])
    const before = backend.plan(current)
    const after = await timed('one Service removed: plan', () => backend.plan(without))
    await timed('one Service removed: apply', () =>
      backend.apply(atOnce(backend.script(diffState(after, before))), signal),
    )
    await timed('probe', () => backend.probe(signal))
    globalThis.gc?.()
    console.log(
      `resident ${(process.memoryUsage.rss() / 1e6).toFixed(0)} MB, heap ${(process.memoryUsage().heapUsed / 1e6).toFixed(0)} MB`,
    )
    await timed('cleanup', () => backend.cleanup(signal))
  } finally {
    await ns.close()
  }
}

await main()
