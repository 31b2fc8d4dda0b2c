/** Finds a kube-proxy that runs beside us: both would write over each other's rules for ever. */
import { readdir, readFile, readlink } from 'node:fs/promises'
import type { Clock } from '../runtime/clock.ts'

const INTERVAL_MS = 60_000
const NAME = 'kube-proxy'

export interface ForeignProxy {
  readonly pid: number
  /** Its command line, cut. */
  readonly command: string
}

export interface ForeignProxyScan {
  /** Where the processes of the node are listed; without the host's process ids only our own are. */
  readonly proc: string
  readonly ownPids: ReadonlySet<number>
}

/**
 * Processes named `kube-proxy` in our network namespace (a node in a container has one of its own), by a file name that
 * our own image uses as well; so `ownPids` are left out. What cannot be read is no proxy.
 */
export async function findForeignProxies(scan: ForeignProxyScan): Promise<readonly ForeignProxy[]> {
  const names = await readdir(scan.proc).catch(() => [])
  const pids = names.filter((name) => /^\d+$/.test(name) && !scan.ownPids.has(Number(name)))
  const found: ForeignProxy[] = []
  // One after the other: it is not urgent, and there may be thousands.
  for (const pid of pids) {
    const proxy = await proxyAt(scan.proc, pid)
    if (proxy !== undefined) found.push(proxy)
  }
  return found
}

async function proxyAt(proc: string, pid: string): Promise<ForeignProxy | undefined> {
  const read = async (file: string): Promise<string> =>
    readFile(`${proc}/${pid}/${file}`, 'utf8').catch(() => '')
  const comm = (await read('comm')).trim()
  const words = (await read('cmdline')).split('\0').filter((word) => word !== '')
  if (comm !== NAME && words[0]?.split('/').at(-1) !== NAME) return undefined
  const network = async (of: string): Promise<string> => readlink(`${proc}/${of}/ns/net`).catch(() => '')
  const [its, ours] = [await network(pid), await network('self')]
  if (its !== '' && ours !== '' && its !== ours) return undefined
  return { pid: Number(pid), command: (words.length > 0 ? words.join(' ') : comm).slice(0, 200) }
}

export interface WatchOptions {
  readonly clock: Clock
  /** Told once for as long as the process lives. */
  readonly onFound: (proxy: ForeignProxy) => void
  readonly scan?: ForeignProxyScan
}

/** Looks at once and then every minute, until the signal is aborted; never rejects. */
export async function watchForeignProxies(options: WatchOptions, signal: AbortSignal): Promise<void> {
  const { clock, onFound } = options
  const scan = options.scan ?? { proc: '/proc', ownPids: new Set([process.pid, process.ppid]) }
  let known = new Set<number>()
  while (!signal.aborted) {
    const found = await findForeignProxies(scan)
    for (const proxy of found) if (!known.has(proxy.pid)) onFound(proxy)
    known = new Set(found.map(({ pid }) => pid))
    await clock.sleep(INTERVAL_MS, signal).catch(() => undefined)
  }
}
