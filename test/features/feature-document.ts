/** docs/features.md and the table of the README, from features and what a run says about them. Pure. */
import type { BackendName } from '../../src/backends/backend.ts'
import type { ConformanceCase } from '../conformance/conformance-case.ts'
import { type Feature, MODES } from './feature.ts'
import { isPacketTest, proofsOf, type Status } from './proved.ts'

export interface FeatureReport {
  readonly features: readonly Feature[]
  readonly cases: readonly ConformanceCase[]
  readonly status: (feature: Feature, mode: BackendName) => Status
}

export const BEGIN = '<!-- features: written by scripts/feature-table.ts -->'
export const END = '<!-- end of features -->'

const INTRODUCTION = `# Features, and the tests that prove them

Written by \`node scripts/feature-table.ts\` from the results of a run; do not edit. The numbers are those that packet-flow
cases name (\`features: [23]\` in \`test/conformance/cases/\`). A cell says _passed_ only if every test named for the row and
mode ran and passed in that run: first the packet-flow cases, sent through a real kernel in both IP families (and through
both variants of iptables), then the tests listed. IPVS runs in user-mode-linux where the kernel lacks it. SCTP is proved
by the decision and the rules alone, because Node.js has no SCTP sockets. A dash is what a mode cannot do; the reason
stands below. What a mode answers otherwise than kube-proxy is in [differences.md](differences.md).
`

export function featureDocument(report: FeatureReport): string {
  const areas = [...new Set(report.features.map(({ area }) => area))]
  const parts = areas.map((area) => {
    const features = report.features.filter((feature) => feature.area === area)
    return `## ${area}\n\n${tableOf(features, report)}${reasonsOf(features)}`
  })
  return `${INTRODUCTION}\n${parts.join('\n')}\n## The tests\n\n${report.features.map((feature) => testsOf(feature, report)).join('\n')}\n`
}

function tableOf(features: readonly Feature[], report: FeatureReport): string {
  const head = ['', 'feature', ...MODES]
  const rows = features.map((feature) => [
    String(feature.number),
    feature.title,
    ...MODES.map((mode) => (feature.cannot[mode] === undefined ? report.status(feature, mode) : '–')),
  ])
  return markdownTable([head, ...rows])
}

function reasonsOf(features: readonly Feature[]): string {
  const lines = features.flatMap(({ number, cannot }) => {
    const reasons = new Map<string, string[]>()
    for (const mode of MODES)
      if (cannot[mode] !== undefined) reasons.set(cannot[mode], [...(reasons.get(cannot[mode]) ?? []), mode])
    return [...reasons].map(([reason, modes]) => `- ${number}, ${modes.join(', ')}: ${reason}.`)
  })
  return lines.length === 0 ? '' : `\n${lines.join('\n')}\n`
}

function testsOf(feature: Feature, { cases }: FeatureReport): string {
  const all = MODES.flatMap((mode) => proofsOf(feature, mode, cases))
  const packets = new Set(all.filter(isPacketTest).map(({ title }) => title.replace(/ \(IPv[46]\)$/, '')))
  const others = new Map<string, Set<string>>()
  for (const { file, title } of all.filter((test) => !isPacketTest(test)))
    others.set(file, (others.get(file) ?? new Set()).add(title))
  const lines = [
    ...(packets.size === 0 ? [] : [`  - packets: ${quoted(packets)}`]),
    ...[...others].map(([file, titles]) => `  - \`${file}\`: ${quoted(titles)}`),
  ]
  return [`- **${feature.number}** ${feature.title}`, ...lines].join('\n')
}

function quoted(titles: Iterable<string>): string {
  return [...titles].map((title) => `“${title.replaceAll('$', String.raw`\$`)}”`).join(', ')
}

/** Areas and how many of their features each mode has, with the marks around it. */
export function featureSummary(report: FeatureReport): string {
  const areas = [...new Set(report.features.map(({ area }) => area))]
  const rows = areas.map((area) => {
    const features = report.features.filter((feature) => feature.area === area)
    const count = (mode: BackendName): string => {
      const passed = features.filter(
        (feature) => feature.cannot[mode] === undefined && report.status(feature, mode) === 'passed',
      )
      const cannot = features.filter((feature) => feature.cannot[mode] !== undefined)
      return cannot.length === 0 ? String(passed.length) : `${passed.length}, without ${cannot.length}`
    }
    return [area, String(features.length), ...MODES.map(count)]
  })
  return `${BEGIN}\n\n${markdownTable([['', 'features', ...MODES], ...rows])}\n${END}`
}

/** As prettier lays tables out. */
function markdownTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(3, ...rows.map((row) => row[i]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`
  const [head = [], ...body] = rows
  return `${[line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n')}\n`
}
