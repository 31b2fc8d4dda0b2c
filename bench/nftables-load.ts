/**
 * What the nftables backend costs by itself: `node --expose-gc bench/nftables-load.ts [services] [endpoints]`, as root.
 * Prints the time to plan, load, read back and change, beside `nft -f` of the same elements in one transaction.
 */
import { atOnce } from '../src/collections/sliced.ts'
import { createNftablesBackend } from '../src/backends/nftables/nftables-backend.ts'
import { diffState, emptyState } from '../src/netfilter/kernel-state.ts'
import type { Cidr } from '../src/net/cidr.ts'
import { silentLogger } from '../src/runtime/logger.ts'
import { aForwarding, aPort, withPorts } from '../test/support/forwarding-builder.ts'
import { NetNamespace } from '../test/support/net-namespace.ts'

const [services = '10000', endpoints = '5'] = process.argv.slice(2)
const signal = new AbortController().signal
const CHANGES = 60

function show(what: string, value: string): void {
  console.log(`${what.padEnd(56)} ${value.padStart(12)}`)
}

async function timed<T>(what: string, action: () => T | Promise<T>): Promise<T> {
  const started = performance.now()
  const result = await action()
  show(what, `${(performance.now() - started).toFixed(1)} ms`)
  return result
}

function port(i: number, shift = 0) {
  const texts = Array.from({ length: Number(endpoints) }, (_, e) => {
    const n = i * Number(endpoints) + e + shift
    return `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}:8080`
  })
  return aPort(`ns-${i % 50}/service-${i}`, { port: 'http' })
    .clusterIp(`172.${16 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`)
    .endpoints(...texts)
    .build()
}

function median(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1)
  return `${at(0.5)} / ${at(0.95)} ms`
}

/** `nft -f` of the script in an empty namespace. */
async function plain(script: string): Promise<void> {
  const ns = await NetNamespace.create()
  try {
    await timed('nft -f of the same, one transaction', async () => ns.run('nft', ['-f', '-'], script))
  } finally {
    await ns.close()
  }
}

async function main(ns: NetNamespace): Promise<void> {
  const detector = { by: 'source', cidr: '10.0.0.0/8' as Cidr } as const
  const options = { family: 'IPv4', detector, masqueradeMark: 0x4000, dropInvalid: true } as const
  const backend = await createNftablesBackend({ options, exec: ns.exec, log: silentLogger })
  let forwarding = aForwarding(Array.from({ length: Number(services) }, (_, i) => port(i)))
  let have = await timed('plan', () => backend.plan(forwarding))
  const script = await timed('diff and script', () => atOnce(backend.script(diffState(have, emptyState()))))
  const text = script.map(({ stdin }) => stdin).join('')
  await plain(text)
  await timed(`apply, ${script.length} transactions`, () => backend.apply(script, signal))
  await plain(text)
  const times: { think: number; write: number; spawn: number }[] = []
  for (let n = 0; n < CHANGES; n++) {
    const changed = port((n * 37) % Number(services), 1_000_000 + n)
    forwarding = withPorts(forwarding, [[changed.key, changed]])
    const begin = performance.now()
    const want = backend.plan(forwarding)
    const steps = atOnce(backend.script(diffState(want, have)))
    const planned = performance.now()
    await backend.apply(steps, signal)
    const written = performance.now()
    await ns.run('nft', ['--version'])
    times.push({ think: planned - begin, write: written - planned, spawn: performance.now() - written })
    have = want
  }
  show('all endpoints of a Service: plan to script, p50 / p95', median(times.map(({ think }) => think)))
  show('… apply', median(times.map(({ write }) => write)))
  show('… of that to start nsenter and nft at all', median(times.map(({ spawn }) => spawn)))
  const seen = await timed('observe', () => backend.observe(signal))
  const left = diffState(have, seen)
  show('differences afterwards', String(left.created.length + left.updated.length + left.removed.length))
  globalThis.gc?.()
  const { heapUsed, rss } = process.memoryUsage()
  show('heap and resident memory', `${Math.round(heapUsed / 1e6)} / ${Math.round(rss / 1e6)} MB`)
}

const namespace = await NetNamespace.create()
try {
  await main(namespace)
} finally {
  await namespace.close()
}
