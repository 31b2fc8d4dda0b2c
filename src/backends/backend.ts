/**
 * What every proxy mode must offer. `plan` and `script` are pure, so everything up to the text on a tool's standard
 * input can be printed and compared; the other methods are the only ones that touch the kernel.
 */
import type { Sliced } from '../collections/sliced.ts'
import type { Forwarding, PortForwarding } from '../forwarding/forwarding.ts'
import type { ServicePortKey } from '../model/service-port.ts'
import type { Changes, KernelObject, KernelState } from '../netfilter/kernel-state.ts'
import type { Cidr } from '../net/cidr.ts'
import type { Family } from '../net/ip.ts'
import type { PortRange } from '../net/port-range.ts'

export type BackendName = 'iptables' | 'ipvs' | 'nftables'

/** How local pod traffic is recognised (`--detect-local-mode`); `undefined` in `BackendOptions`: nobody is a pod. */
export type LocalDetector =
  | { readonly by: 'source'; readonly cidr: Cidr }
  | { readonly by: 'interface'; readonly name: string }
  | { readonly by: 'interface-prefix'; readonly prefix: string }

/** Settings that hold for the life of a backend; everything that can change arrives with `Forwarding`. */
export interface BackendOptions {
  readonly family: Family
  readonly detector: LocalDetector | undefined
  /** One bit of the packet mark, `1 << masqueradeBit` (default bit 14); always matched and set with a mask. */
  readonly masqueradeMark: number
  /** Drop packets of our own translated flows that connection tracking calls INVALID. */
  readonly dropInvalid: boolean
  /** Ports that no masqueraded connection gets, because Services are asked on them; absent: any may be taken. */
  readonly nodePortRange?: PortRange | undefined
}

/** One call of a tool: everything that matters is in `stdin`. */
export interface ScriptStep {
  /** Program name without path, e.g. `iptables-restore`. */
  readonly file: string
  readonly args: readonly string[]
  readonly stdin: string
  /** For people: what this step is for. */
  readonly purpose: string
}

/** Steps in order; after each of them every packet still has an answer. */
export type KernelScript = readonly ScriptStep[]

/** What somebody else did to our objects. */
export interface Drift {
  /** One line for people: `jump from nat PREROUTING to KUBE-SERVICES is missing`. */
  readonly what: string
}

export interface Backend<O extends KernelObject> {
  readonly name: BackendName
  readonly family: Family
  /**
   * Adding objects costs what is added, whatever is there, and a script may be made before the last one is applied: then
   * a cold start is written in many parts. (iptables copies the whole table out of the kernel and back for every write.)
   */
  readonly addsCheaply?: boolean
  /** Memoised: equal parts of `forwarding` (by identity) give identical fragments. */
  plan(forwarding: Forwarding): KernelState<O>
  /** Pauses every few milliseconds: the first script of a large cluster takes a quarter of a second to write. */
  script(changes: Changes<O>): Sliced<KernelScript>
  /** Reads back what is ours. An empty state means a cold start. */
  observe(signal: AbortSignal): Promise<KernelState<O>>
  /** Throws `KernelError`; then the kernel may hold any prefix of the script's steps. */
  apply(script: KernelScript, signal: AbortSignal): Promise<void>
  /** The service port whose objects the failed step's error points at, if the tool said so. */
  blame(error: unknown, forwarding: Forwarding): ServicePortKey | undefined
  /**
   * What the Service gets instead of what it asked for, because the mode or this kernel cannot do it: a clause for
   * people; `undefined`: it gets what it asked for. Asked when the port is in the kernel; pure and cheap.
   */
  substitution(port: PortForwarding): string | undefined
  /**
   * Cheap enough to be called several times a second; `undefined`: all is as we left it. `believed`: what that is, if
   * it is known.
   */
  probe(signal: AbortSignal, believed: KernelState<O> | undefined): Promise<Drift | undefined>
  /**
   * Work that comes with time alone, such as taking out servers that have drained; called about once a second, so it
   * must be cheap. Resolves to whether it changed anything.
   */
  maintain?(signal: AbortSignal): Promise<boolean>
  /**
   * Packets that the kernel has counted for each rule of these objects, in order, by object key; an object that it does
   * not count for is not there. Reads the tables that the objects are in, once. Throws `KernelError`.
   */
  counters?(keys: ReadonlySet<string>, signal: AbortSignal): Promise<ReadonlyMap<string, readonly number[]>>
  /** Packets of our own flows dropped because connection tracking calls them INVALID. Throws `KernelError`. */
  invalidDropped?(signal: AbortSignal): Promise<number>
  /**
   * Open connections by service port, where the kernel counts them beside connection tracking; by one program for all.
   * Throws `KernelError`.
   */
  connections?(signal: AbortSignal): Promise<ReadonlyMap<ServicePortKey, number>>
  /**
   * Removes all that is ours (and a former kube-proxy's of this mode), in this family, and nothing else; resolves to
   * what was removed, a line each.
   */
  cleanup(signal: AbortSignal, options?: CleanupOptions): Promise<readonly string[]>
  /**
   * Makes way for another mode that answers already: like `cleanup`, but leaves rules alone, and whatever open
   * connections still need. Only where connections need more than connection tracking remembers.
   */
  retire?(signal: AbortSignal): Promise<Retirement>
}

export interface CleanupOptions {
  /** What another mode uses as well and keeps: rules that it has written over, or sets that it refers to. */
  readonly keep?: 'rules' | 'sets'
}

export interface Retirement {
  /** A line each. */
  readonly removed: readonly string[]
  /** Objects that wait for the end of open connections; 0: nothing is left. */
  readonly waiting: number
}
