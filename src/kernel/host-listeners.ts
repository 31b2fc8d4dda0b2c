/** On which ports programs of this host listen, read from `/proc/net` of this process's network namespace. */
import { readFile } from 'node:fs/promises'
import type { Protocol } from '../net/protocol.ts'

/** `TCP 30080`: any address of either IP family. */
export type PortName = `${Protocol} ${number}`

/** State of a listening TCP socket, and of a UDP socket that is not connected (<net/tcp_states.h>). */
const LISTENING: Readonly<Record<'TCP' | 'UDP', string>> = { TCP: '0A', UDP: '07' }
const FILES = [
  ['TCP', 'tcp'],
  ['TCP', 'tcp6'],
  ['UDP', 'udp'],
  ['UDP', 'udp6'],
] as const

/** `read`: the text of a file below `/proc/net`; a host without IPv6 lacks some, which are then empty. */
export async function readHostListeners(
  read: (name: string) => Promise<string> = async (name) => readFile(`/proc/net/${name}`, 'latin1'),
): Promise<ReadonlySet<PortName>> {
  const listeners = new Set<PortName>()
  for (const [protocol, file] of FILES) {
    const text = await read(file).catch(() => '')
    for (const port of listeningPorts(text, LISTENING[protocol])) listeners.add(`${protocol} ${port}`)
  }
  return listeners
}

/** Lines such as `0: 0100007F:1F90 00000000:0000 0A …`: local address and port, the other end, the state. */
function listeningPorts(text: string, state: string): number[] {
  const ports: number[] = []
  for (const line of text.split('\n')) {
    const match = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /.exec(line)
    if (match?.[1] !== undefined && match[2] === state) ports.push(parseInt(match[1], 16))
  }
  return ports
}
