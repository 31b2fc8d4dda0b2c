/**
 * What the kernel tells about changes of one nftables table, so that somebody else's hand in it is noticed at once and
 * without asking. Only the header, the table's name and the author of a change are read; objects of other tables, which
 * may be newer than we are, are skipped by their length.
 *
 * Our own transactions are told, too. Each ends with one message that names the author's process, so a transaction
 * more than we made ourselves is a foreign one.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { NftTable } from './nft.ts'

/** <linux/netlink.h>, <linux/netfilter/nfnetlink.h>, <linux/netfilter/nf_tables.h> */
const NETLINK_NETFILTER = 12
const NFNLGRP_NFTABLES = 7
const NFNL_SUBSYS_NFTABLES = 10
const NFT_MSG_NEWGEN = 15
const NFTA_GEN_PROC_PID = 2
const NFTA_GEN_PROC_NAME = 3
/** Every kind of object has its table's name in attribute 1. */
const NFTA_TABLE = 1
const MESSAGE_HEADER = 16
const GENERIC_HEADER = 4
const FAMILY_NUMBER = { ip: 2, ip6: 10 } as const

/** Room for what one transaction of ours causes; what does not fit is dropped by the kernel, and it says so. */
const RECEIVE_BUFFER = 8 * 1024 * 1024

/** The part of a netlink socket that is needed; the real one is in the package `netlink`. */
export interface NotificationSocket {
  on(event: 'message', listener: (message: Buffer) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  close(): void
}

export class NftNotifications {
  readonly #socket: NotificationSocket
  readonly #table: string
  readonly #family: number
  readonly #text: string
  /** Transactions of our own that may still be told. */
  #expected = 0
  #received = 0
  readonly #unread: Buffer[] = []
  #touched = false
  #foreign: string | undefined

  constructor(socket: NotificationSocket, table: NftTable) {
    const [family, name] = table.split(' ') as ['ip' | 'ip6', string]
    this.#socket = socket
    this.#table = name
    this.#family = FAMILY_NUMBER[family]
    this.#text = table
    socket.on('message', (message) => this.#later(message))
    socket.on('error', () => {
      // Lost is as much as changed, unless it was our own writing that was too much to tell.
      this.#received++
      if (this.#expected === 0) this.#foreign ??= `notifications about table ${this.#text} were lost`
    })
  }

  /**
   * The native part of the package ends the process when anything throws, or exits, before its callback has returned;
   * so nothing is done there but keeping the message.
   */
  #later(message: Buffer): void {
    this.#received++
    this.#unread.push(message)
    if (this.#unread.length === 1) setImmediate(() => this.#readAll())
  }

  #readAll(): void {
    for (const message of this.#unread.splice(0)) this.#receive(message)
  }

  /**
   * Opens a socket in the network namespace of this process. Resolves to `undefined` where the package does not load
   * or the kernel refuses; then only asking helps.
   */
  static async open(table: NftTable): Promise<NftNotifications | undefined> {
    try {
      const { RawNetlinkSocket } = await import('netlink')
      const buffers = { recvBufferSize: RECEIVE_BUFFER, sendBufferSize: 4096 }
      const socket = new RawNetlinkSocket(NETLINK_NETFILTER, buffers)
      socket.addMembership(NFNLGRP_NFTABLES)
      socket.unref()
      return new NftNotifications(socket, table)
    } catch {
      return undefined
    }
  }

  /** Runs a write of our own that makes `transactions` at most; they are not reported as foreign. */
  async ownWrites<T>(transactions: number, write: () => Promise<T>): Promise<T> {
    this.#expected += transactions
    try {
      return await write()
    } finally {
      await this.#silence()
      this.#readAll()
      this.#expected = 0
      this.#touched = false
    }
  }

  /** One line about what others did since the last question; `undefined`: nothing. */
  foreignChange(): string | undefined {
    this.#readAll()
    const foreign = this.#foreign
    this.#foreign = undefined
    return foreign
  }

  close(): void {
    this.#socket.close()
  }

  /** The kernel tells before a transaction returns, so all there is to hear is in the socket by now. */
  async #silence(): Promise<void> {
    for (let quiet = 0, heard = -1; quiet < 3; quiet++) {
      await nextTurn()
      if (heard !== this.#received) quiet = 0
      heard = this.#received
    }
  }

  #receive(datagram: Buffer): void {
    for (let at = 0; at + MESSAGE_HEADER + GENERIC_HEADER <= datagram.length;) {
      const length = datagram.readUInt32LE(at)
      if (length < MESSAGE_HEADER || at + length > datagram.length) return
      const type = datagram.readUInt16LE(at + 4)
      if (type >> 8 === NFNL_SUBSYS_NFTABLES) this.#read(type & 0xff, datagram.subarray(at, at + length))
      at += (length + 3) & ~3
    }
  }

  #read(type: number, message: Buffer): void {
    if (type === NFT_MSG_NEWGEN) this.#endTransaction(message)
    else if (!this.#touched && message[MESSAGE_HEADER] === this.#family)
      this.#touched = textOf(attributeOf(message, NFTA_TABLE)) === this.#table
  }

  #endTransaction(message: Buffer): void {
    if (!this.#touched) return
    this.#touched = false
    if (this.#expected > 0) {
      this.#expected--
      return
    }
    const name = textOf(attributeOf(message, NFTA_GEN_PROC_NAME)).replace(/[^\x20-\x7e]/g, '?')
    const pid = attributeOf(message, NFTA_GEN_PROC_PID)
    const number = pid?.length === 4 ? pid.readUInt32BE(0) : 0
    this.#foreign ??= `table ${this.#text} was changed by process ${number} (${name})`
  }
}

/** The payload of the first attribute of this type; lengths are the sender's and may be wrong. */
function attributeOf(message: Buffer, wanted: number): Buffer | undefined {
  for (let at = MESSAGE_HEADER + GENERIC_HEADER; at + 4 <= message.length;) {
    const length = message.readUInt16LE(at)
    const type = message.readUInt16LE(at + 2) & 0x3fff
    if (length < 4 || at + length > message.length) return undefined
    if (type === wanted) return message.subarray(at + 4, at + length)
    at += (length + 3) & ~3
  }
  return undefined
}

function textOf(payload: Buffer | undefined): string {
  if (payload === undefined) return ''
  const end = payload.indexOf(0)
  return payload.toString('latin1', 0, end < 0 ? payload.length : end)
}
