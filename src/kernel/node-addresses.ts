/**
 * The addresses of this node's interfaces, and a notice when they change.
 *
 * Reading is a system call of Node itself. The notice comes from one sleeping `ip monitor address` process, so it costs
 * nothing while nothing happens; where that program is missing or ends, addresses are compared once a second instead.
 */
import { spawn } from 'node:child_process'
import { networkInterfaces } from 'node:os'
import { type Ip, parseIp } from '../net/ip.ts'
import type { Clock } from '../runtime/clock.ts'

/** Our own dummy device of the IPVS mode: what it holds are Service addresses. */
const OWN_DEVICE = 'kube-ipvs0'
/** Several addresses often change together; they are told as one change. */
const SETTLE_MS = 50
const POLL_MS = 1000

/** Addresses of all interfaces that are up, sorted, without IPv6 link-local ones (no Service is dialled by those). */
export function readNodeAddresses(): readonly Ip[] {
  const found = new Set<Ip>()
  for (const [device, entries] of Object.entries(networkInterfaces())) {
    if (device === OWN_DEVICE) continue
    for (const { address } of entries ?? []) {
      const ip = parseIp(address)
      if (ip !== undefined && !ip.startsWith('fe80:')) found.add(ip)
    }
  }
  return [...found].sort()
}

/** Calls back with the set of addresses, and with every new one, until the signal is aborted. Never rejects. */
export async function watchNodeAddresses(
  onChange: (addresses: readonly Ip[]) => void,
  context: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const { clock, signal } = context
  let known: string | undefined
  const compare = (): void => {
    const addresses = readNodeAddresses()
    if (addresses.join() === known) return
    known = addresses.join()
    onChange(addresses)
  }
  compare()
  // What changes before the monitor has begun to listen is not told by it.
  const late = clock.sleep(POLL_MS, signal).then(compare, () => undefined)
  await followMonitor(compare, context)
  await late
  for (;;) {
    await clock.sleep(POLL_MS, signal).catch(() => undefined)
    if (signal.aborted) return
    compare()
  }
}

/** Resolves when `ip monitor` has ended, for whatever reason. */
async function followMonitor(
  compare: () => void,
  context: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const { clock, signal } = context
  await new Promise<void>((resolve) => {
    const child = spawn('ip', ['monitor', 'address'], { stdio: ['ignore', 'pipe', 'ignore'], signal })
    let settling = false
    child.stdout.on('data', () => {
      if (settling) return
      settling = true
      void clock
        .sleep(SETTLE_MS, signal)
        .then(() => {
          settling = false
          compare()
        })
        .catch(() => undefined)
    })
    child.on('error', () => resolve())
    child.on('close', () => resolve())
  })
}
