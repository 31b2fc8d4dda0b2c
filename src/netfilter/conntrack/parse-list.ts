/**
 * Reads what `conntrack -L -o extended` prints, one flow a line:
 * `ipv4 2 udp 17 29 src=10.0.0.1 dst=10.96.0.10 sport=5000 dport=53 [UNREPLIED] src=10.0.0.9 dst=10.0.0.1 sport=53 dport=5000 mark=0 use=1`
 * Lines of other protocols (no ports) are passed over.
 */
import { type Family, type Ip, parseIp } from '../../net/ip.ts'
import type { Protocol } from '../../net/protocol.ts'
import type { Flow } from './flow.ts'

const FAMILY: Readonly<Record<string, Family>> = { ipv4: 'IPv4', ipv6: 'IPv6' }
const PROTOCOL: Readonly<Record<string, Protocol>> = { tcp: 'TCP', udp: 'UDP', sctp: 'SCTP' }

/** States of TCP and SCTP, which stand before the addresses. */
const ENDED = /^\S+ +\d+ +\S+ +\d+ +\d+ (?:LAST_ACK|TIME_WAIT|CLOSE|CLOSED|SHUTDOWN_ACK_SENT) /

export function parseFlows(text: string): Flow[] {
  const flows: Flow[] = []
  for (const line of text.split('\n')) {
    const flow = parseFlow(line)
    if (flow !== undefined) flows.push(flow)
  }
  return flows
}

function parseFlow(line: string): Flow | undefined {
  const [familyWord = '', , protocolWord = ''] = line.split(/\s+/, 3)
  const family = FAMILY[familyWord]
  const protocol = PROTOCOL[protocolWord]
  if (family === undefined || protocol === undefined) return undefined
  const addresses = [...line.matchAll(/ (?:src|dst)=(\S+)/g)].map((match) => parseIp(match[1] ?? ''))
  const ports = [...line.matchAll(/ [sd]port=(\d+)/g)].map((match) => Number(match[1]))
  const [source, destination, replySource] = addresses
  const [sourcePort, destinationPort, replySourcePort] = ports
  if (addresses.length !== 4 || ports.length !== 4 || !allKnown(source, destination, replySource))
    return undefined
  return {
    family,
    protocol,
    source: source as Ip,
    sourcePort: sourcePort ?? 0,
    destination: destination as Ip,
    destinationPort: destinationPort ?? 0,
    replySource: replySource as Ip,
    replySourcePort: replySourcePort ?? 0,
    unreplied: line.includes('[UNREPLIED]'),
    ...(ENDED.test(line) ? { ended: true } : {}),
  }
}

function allKnown(...addresses: (Ip | undefined)[]): boolean {
  return addresses.every((address) => address !== undefined)
}
