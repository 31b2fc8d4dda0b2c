/** Sets of ports as the kernel's settings write them: `30080,32768-32770`. */

/** What is no port or range is passed over. */
export function parsePortRanges(text: string): Set<number> {
  const ports = new Set<number>()
  for (const part of text.split(',')) {
    const match = /^\s*(\d+)(?:-(\d+))?\s*$/.exec(part)
    if (match === null) continue
    const first = Number(match[1])
    const last = Math.min(Number(match[2] ?? first), 65_535)
    for (let port = first; port <= last; port++) ports.add(port)
  }
  return ports
}

export function formatPortRanges(ports: Iterable<number>): string {
  const ranges: { first: number; last: number }[] = []
  for (const port of [...ports].sort((a, b) => a - b)) {
    const range = ranges.at(-1)
    if (range?.last === port - 1) range.last = port
    else ranges.push({ first: port, last: port })
  }
  return ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(',')
}
