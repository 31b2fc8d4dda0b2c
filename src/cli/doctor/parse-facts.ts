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
    }
  })
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

function rowsOf(text: string): readonly Readonly<Record<string, unknown>>[] {
  if (text.trim() === '') return []
  try {
    return asList(JSON.parse(text) as unknown).map(asObject)
  } catch {
    return []
  }
}
