/**
 * IPVS through the kernel's own messages: several times as fast as `ipvsadm` when there is much to write, and each
 * refusal names its line. What is rare goes through the program, whose text is the same everywhere.
 *
 * A netlink socket belongs to the network namespace of this process, so this is for proxies that run in the namespace
 * that they program.
 */
import { constants } from 'node:os'
import { type ServerCommand, parseCommand } from '../netfilter/ipvs/command.ts'
import {
  DESTINATION,
  DESTINATION_ATTRIBUTES,
  GET_DESTINATIONS,
  GET_SERVICE,
  IPVS_VERSION,
  encodeCommand,
  encodeSelector,
} from '../netfilter/ipvs/netlink-message.ts'
import { type IpvsServer, realServerKey } from '../netfilter/ipvs/virtual-server.ts'
import { hostPort, ipFromBytes } from '../net/ip.ts'
import { GenericNetlink, type NetlinkCommand, type Refusal } from './generic-netlink.ts'
import type { IpvsControl, IpvsTimeouts } from './ipvs-control.ts'
import type { Ipvsadm } from './ipvsadm.ts'
import { KernelError, type KernelErrorCode } from './kernel-error.ts'
import { readAttributes } from './netlink-exchange.ts'

const AF_INET6 = 10

export class IpvsNetlink implements IpvsControl {
  readonly #netlink: GenericNetlink
  readonly #program: Ipvsadm

  private constructor(netlink: GenericNetlink, program: Ipvsadm) {
    this.#netlink = netlink
    this.#program = program
  }

  /**
   * `undefined`: there can be no such socket here (no prebuilt module for this machine, or no IPVS in the kernel); the
   * program then tells why, or does the work.
   */
  static async open(program: Ipvsadm): Promise<IpvsNetlink | undefined> {
    const netlink = await GenericNetlink.open('IPVS', IPVS_VERSION).catch(() => undefined)
    return netlink && new IpvsNetlink(netlink, program)
  }

  close(): void {
    this.#netlink.close()
  }

  async list(signal: AbortSignal): Promise<readonly IpvsServer[]> {
    return this.#program.list(signal)
  }

  async has(selector: string, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted()
    const attributes = encodeSelector(selector)
    if (attributes === undefined) return false
    return (await this.#netlink.get({ number: GET_SERVICE, attributes }).catch(lost)) !== undefined
  }

  async setTimeouts(timeouts: IpvsTimeouts, signal: AbortSignal): Promise<void> {
    await this.#program.setTimeouts(timeouts, signal)
  }

  async restore(script: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const commands: NetlinkCommand[] = []
    const lines: number[] = []
    for (const [index, line] of script.split('\n').entries()) {
      if (line === '') continue
      const command = parseCommand(line)
      const encoded = command && encodeCommand(command)
      if (encoded === undefined)
        throw this.#failure(script, { index, errno: constants.errno.EINVAL }, command)
      commands.push(encoded)
      lines.push(index)
    }
    const refusals = await this.#netlink.send(commands).catch((error: unknown) => {
      throw new KernelError(
        `Cannot write virtual servers: ${String(error)}; they are read again and repaired`,
        {
          ...failureOf(script),
          code: 'busy',
          remedy: 'they are read again and repaired',
        },
      )
    })
    const [first] = refusals
    if (first === undefined) return
    const index = lines[first.index] ?? 0
    throw this.#failure(script, { index, errno: first.errno }, parseCommand(script.split('\n')[index] ?? ''))
  }

  async connections(
    selectors: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, number>> {
    const counts = new Map<string, number>()
    for (const selector of selectors) {
      signal.throwIfAborted()
      const attributes = encodeSelector(selector)
      if (attributes === undefined) continue
      // The list of a virtual server that is gone is empty.
      const entries = await this.#netlink.dump({ number: GET_DESTINATIONS, attributes }).catch(lost)
      for (const entry of entries) {
        const found = readCount(entry)
        if (found !== undefined) counts.set(realServerKey(selector, found.server), found.connections)
      }
    }
    return counts
  }

  #failure(script: string, refusal: Refusal, command: ServerCommand | undefined): KernelError {
    const { code, why, remedy } = reasonOf(refusal.errno, command)
    const line = refusal.index + 1
    const text = script.split('\n')[refusal.index] ?? ''
    return new KernelError(`Cannot write virtual servers: line ${line}, "${text}": ${why}; ${remedy}`, {
      ...failureOf(script),
      code,
      line,
      stderr: why,
      remedy,
    })
  }
}

function failureOf(script: string) {
  return { command: ['netlink', 'IPVS'], exitCode: undefined, stderr: '', script, line: undefined }
}

/** The conversation broke off. */
function lost(error: unknown): never {
  const remedy = 'it is read again and repaired'
  const failure = { ...failureOf(''), code: 'busy' as const, remedy }
  throw new KernelError(`Cannot talk to IPVS: ${String(error)}; ${remedy}`, failure, { cause: error })
}

interface Reason {
  readonly code: KernelErrorCode
  readonly why: string
  readonly remedy: string
}

function reasonOf(errno: number, command: ServerCommand | undefined): Reason {
  const { EEXIST, ENOENT, EPERM, ESRCH } = constants.errno
  const again = 'they are read again and repaired'
  if (errno === EEXIST) return { code: 'already-exists', why: 'it exists already', remedy: again }
  if (errno === EPERM)
    return { code: 'permission', why: 'not permitted', remedy: 'run as root, or with CAP_NET_ADMIN' }
  // Of a virtual server that is added, what can be missing is its scheduler.
  const isScheduler =
    errno === ENOENT && command?.server.kind === 'virtual-server' && command.verb !== 'delete'
  if (isScheduler)
    return {
      code: 'unsupported',
      why: 'no such scheduler in this kernel',
      remedy: 'choose another scheduler',
    }
  if (errno === ESRCH || errno === ENOENT)
    return { code: 'missing-object', why: 'it does not exist', remedy: again }
  return { code: 'rejected', why: `error ${errno}`, remedy: 'everything else is applied without it' }
}

function readCount(entry: Buffer): { readonly server: string; readonly connections: number } | undefined {
  const inner = readAttributes(entry).get(DESTINATION)
  if (inner === undefined) return undefined
  const values = readAttributes(inner)
  const { active, address, family, inactive, port } = DESTINATION_ATTRIBUTES
  const isIpv6 = values.get(family)?.readUInt16LE(0) === AF_INET6
  const bytes = values.get(address)?.subarray(0, isIpv6 ? 16 : 4)
  if (bytes === undefined) return undefined
  const server = hostPort(ipFromBytes([...bytes]), values.get(port)?.readUInt16BE(0) ?? 0)
  const count = (type: number) => values.get(type)?.readUInt32LE(0) ?? 0
  return { server, connections: count(active) + count(inactive) }
}
