/** The client's side of every measurement: a typed face of `tools/prober.pl`. Times are milliseconds or microseconds as named. */
import { join } from 'node:path'
import type { NetHost } from '../src/lab/net-host.ts'
import { Talker } from './inside.ts'

/** `ip:port` */
export type Target = string

/** How long a loop rests between two attempts, so that it leaves the processors to those it watches. */
const PAUSE_US = 200

export class Prober {
  readonly #talker: Talker

  private constructor(talker: Talker) {
    this.#talker = talker
  }

  static async start(host: NetHost): Promise<Prober> {
    const talker = new Talker(host, 'prober', ['perl', join(import.meta.dirname, 'tools/prober.pl')])
    await talker.hear()
    return new Prober(talker)
  }

  /** Resolves to the monotonic clock (ns) when the last target answered; throws when one does not in time. */
  async untilAllAnswer(targets: readonly Target[], timeoutMs: number): Promise<bigint> {
    const [word, value] = (await this.#talker.ask(`all ${timeoutMs} ${targets.join(' ')}`)).split(' ')
    if (word === 'done' && value !== undefined) return BigInt(value)
    const missing = targets[Number(value)] ?? '?'
    throw new Error(
      `Cannot go on: ${missing} does not answer within ${timeoutMs} ms; look at the proxy's log`,
    )
  }

  /**
   * Connects to `target` until `expected` answers; `change`, which is to bring that about, is called once connections
   * are answered. Resolves to the time since `atNs` of the change, and how many attempts failed.
   */
  async untilChanged(
    target: Target,
    change: () => Promise<{ atNs: string }>,
    { expected, timeoutMs }: { readonly expected: string; readonly timeoutMs: number },
  ): Promise<{ tookMs: number; failed: number }> {
    this.#talker.say(`until ${expected} ${timeoutMs} ${PAUSE_US} ${target}`)
    const first = await this.#talker.hear()
    if (first !== 'watching') throw new Error(`Cannot watch ${target}: ${first}; look at the proxy's log`)
    const { atNs } = await change()
    const [word, seenNs = '0', , failed] = (await this.#talker.hear()).split(' ')
    if (word !== 'seen')
      throw new Error(
        `Cannot see ${expected} behind ${target} within ${timeoutMs} ms; look at the proxy's log`,
      )
    return { tookMs: Number(BigInt(seenNs) - BigInt(atNs)) / 1e6, failed: Number(failed) }
  }

  /** Microseconds of `count` connections to each target, made in turn. A failed one is `NaN`. */
  async timeConnections(count: number, targets: readonly Target[]): Promise<number[][]> {
    return this.#times('connect', count, targets)
  }

  /** Microseconds from a datagram over a new socket to its answer. */
  async timeDatagrams(count: number, targets: readonly Target[]): Promise<number[][]> {
    return this.#times('udp', count, targets)
  }

  /** How many of `count` connections each endpoint answered; `failed` stands for none. */
  async spread(count: number, target: Target): Promise<Map<string, number>> {
    const line = await this.#talker.ask(`spread ${count} ${target}`)
    return new Map(
      line.split(' ').map((pair) => {
        const [answer = '', times] = pair.split('=')
        return [answer, Number(times)]
      }),
    )
  }

  /** Asks over HTTP for `forMs`; resolves to how often each status came (0: no connection) and the longest answer. */
  async askHttp(
    target: Target,
    path: string,
    forMs: number,
  ): Promise<{ statuses: Record<string, number>; longestMs: number }> {
    const words = (await this.#talker.ask(`http ${forMs} 10 ${target} ${path}`)).split(' ')
    const statuses = words.slice(0, -2).map((pair) => pair.split('='))
    return {
      statuses: Object.fromEntries(statuses.map(([status = '', times]) => [status, Number(times)])),
      longestMs: Number(words.at(-1)) / 1e6,
    }
  }

  async stop(): Promise<void> {
    await this.#talker.stop()
  }

  async #times(command: string, count: number, targets: readonly Target[]): Promise<number[][]> {
    this.#talker.say(`${command} ${count} ${targets.join(' ')}`)
    const all: number[][] = []
    for (const _target of targets)
      all.push(
        (await this.#talker.hear()).split(' ').map((ns) => (ns === '-1' ? Number.NaN : Number(ns) / 1e3)),
      )
    return all
  }
}
