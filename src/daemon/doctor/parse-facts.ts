/** What tools print, as facts. Pure. */
import type { IpRuleFact, LinkFact } from '../../explain/doctor/node-facts.ts'
import { asList, asObject, asText } from '../../model/json-object.ts'

/** `ip -j -d link show`. */
export function linkFacts(text: string): readonly LinkFact[] {
  return rowsOf(text).map((link) => {
    const info = asObject(link['linkinfo'])
    return {
      name: asText(link['ifname']) ?? '',
      kind: asText(info['info_kind']) ?? '',
      master: asText(link['master']),
      hairpin: asObject(info['info_slave_data'])['hairpin'] === true,
      promiscuous: asList(link['flags']).includes('PROMISC'),
      up: asList(link['flags']).includes('UP'),
      mtu: typeof link['mtu'] === 'number' ? link['mtu'] : 0,
      lower: asText(link['link']),
      outerChecksum: asBool(asObject(info['info_data'])['udp_csum']),
    }
  })
}

/** `ethtool -k`: whether the device leaves checksums of what it sends to others; `undefined`: it does not say. */
export function checksumOffloadOf(text: string): boolean | undefined {
  const word =
    /^\s*tx-checksum-ip-generic: (on|off)/m.exec(text)?.[1] ?? /^tx-checksumming: (on|off)/m.exec(text)?.[1]
  return word === undefined ? undefined : word === 'on'
}

/** `ip -j route show default`: the device of the best one, which comes first. */
export function underlayOf(text: string): string | undefined {
  return asText(rowsOf(text)[0]?.['dev'])
}

/** `grep -H ''` over files below `/proc/sys`. */
export function sysctlFacts(text: string): ReadonlyMap<string, string> {
  const lines = [...text.matchAll(/^\/proc\/sys\/([^:]+):(.*)$/gm)]
  return new Map(lines.map(([, key = '', value = '']) => [key, value.trim()]))
}

/** `ip -j rule show`: those that look at the mark. */
export function ruleFacts(text: string): readonly IpRuleFact[] {
  return rowsOf(text).flatMap((rule) => {
    const mark = Number(rule['fwmark'] ?? Number.NaN)
    if (Number.isNaN(mark)) return []
    return [{ priority: Number(rule['priority'] ?? 0), mark, mask: Number(rule['fwmask'] ?? 0xffffffff) }]
  })
}

/** The first line that has a version number in it. */
export function versionLine(text: string): string | undefined {
  return text.split('\n').find((line) => /\d/.test(line))
}

function asBool(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined
}

function rowsOf(text: string): readonly Readonly<Record<string, unknown>>[] {
  if (text.trim() === '') return []
  try {
    return asList(JSON.parse(text) as unknown).map(asObject)
  } catch {
    return []
  }
}

/** Family and name of each table in what `nft list chains` prints. */
export function nftTablesIn(text: string): readonly string[] {
  return [...text.matchAll(/^table (\S+ \S+) \{$/gm)].map((match) => match[1] ?? '')
}
