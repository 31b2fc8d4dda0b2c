/** Reads `iptables-save -c`: how many packets each rule has matched since it was written. */

const RULE = /^\[(\d+):\d+\] -A (\S+)/

/** Packets by rule, in order, of those chains (`table/name`) that are wanted and there. */
export function parseCounters(
  text: string,
  wanted: ReadonlySet<string>,
): ReadonlyMap<string, readonly number[]> {
  const counters = new Map<string, number[]>()
  let table = ''
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line.slice(1).trim()
    const match = RULE.exec(line)
    const key = `${table}/${match?.[2] ?? ''}`
    if (match === null || !wanted.has(key)) continue
    const packets = counters.get(key) ?? []
    packets.push(Number(match[1]))
    counters.set(key, packets)
  }
  return counters
}

/** Packets that the rules of these chains of one table have dropped. */
export function parseDropped(text: string, chains: readonly string[]): number {
  let packets = 0
  for (const line of text.split('\n')) {
    const match = RULE.exec(line)
    if (match !== null && chains.includes(match[2] ?? '') && line.endsWith(' -j DROP'))
      packets += Number(match[1])
  }
  return packets
}
