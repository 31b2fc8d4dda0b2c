/**
 * Real servers that were taken out while connections may still be open: they have weight 0, so they get no new ones,
 * and go when the last connection has ended or their time is up. The list mirrors what the kernel was told and is
 * found again after a restart: a server of ours with weight 0 is one that drains.
 */
import { parseCommand } from '../../netfilter/ipvs/command.ts'
import { type RealServer, isDrained } from '../../netfilter/ipvs/virtual-server.ts'
import type { IpvsObject } from './plan-port.ts'

interface Draining {
  readonly server: RealServer
  readonly deadlineMs: number
}

export class DrainList {
  readonly #limitMs: number
  readonly #draining = new Map<string, Draining>()

  /** `limitMs`: how long a server drains when its Service does not say. */
  constructor(limitMs: number) {
    this.#limitMs = limitMs
  }

  get size(): number {
    return this.#draining.size
  }

  /** Virtual servers with a real server that drains. */
  get selectors(): ReadonlySet<string> {
    return new Set([...this.#draining.values()].map(({ server }) => server.selector))
  }

  /** Keys of the real servers that drain. */
  get keys(): ReadonlySet<string> {
    return new Set(this.#draining.keys())
  }

  has(key: string): boolean {
    return this.#draining.has(key)
  }

  /** A drained server was found in the kernel; one that is known keeps its deadline. */
  found(server: RealServer, nowMs: number): void {
    if (!this.#draining.has(server.key))
      this.#draining.set(server.key, { server, deadlineMs: nowMs + this.#limitMs })
  }

  /** Servers that were found before and are not there any more are forgotten. */
  keepOnly(keys: ReadonlySet<string>): void {
    for (const key of this.#draining.keys()) if (!keys.has(key)) this.#draining.delete(key)
  }

  /** Follows commands that the kernel has carried out. `secondsOf`: how long each server may drain. */
  follow(script: string, nowMs: number, secondsOf: (key: string) => number | undefined): void {
    const deleted = new Set<string>()
    for (const line of script.split('\n')) {
      const command = parseCommand(line)
      if (command === undefined) continue
      const { server, verb } = command
      if (server.kind === 'virtual-server') {
        if (verb === 'delete') deleted.add(server.selector)
      } else if (verb === 'edit' && isDrained(server)) {
        const seconds = secondsOf(server.key)
        const limitMs = seconds === undefined ? this.#limitMs : seconds * 1000
        this.#draining.set(server.key, { server, deadlineMs: nowMs + limitMs })
      } else this.#draining.delete(server.key)
    }
    if (deleted.size === 0) return
    for (const [key, { server }] of this.#draining)
      if (deleted.has(server.selector)) this.#draining.delete(key)
  }

  /** Servers that can go: nothing is open on them, or they have had their time. */
  due(connections: ReadonlyMap<string, number>, nowMs: number): readonly RealServer[] {
    return [...this.#draining.values()].flatMap(({ server, deadlineMs }) => {
      const open = connections.get(server.key)
      return open === undefined || open === 0 || deadlineMs <= nowMs ? [server] : []
    })
  }

  forget(server: RealServer): void {
    this.#draining.delete(server.key)
  }
}

/** How long each real server among these objects may drain, by key, as far as its Service says. */
export function drainSecondsOf(objects: readonly IpvsObject[]): ReadonlyMap<string, number | undefined> {
  return new Map(
    objects.flatMap((object) =>
      object.kind === 'real-server' ? [[object.key, object.drainSeconds] as const] : [],
    ),
  )
}
