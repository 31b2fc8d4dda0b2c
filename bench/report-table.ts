/** The figures as tables for the terminal. A dash: not measured. */
import type { Place } from './data-plane.ts'
import type { Report, Result } from './results.ts'

type Column = readonly [title: string, cell: (result: Result) => string]

const NOTHING = '–'

export function ms(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return NOTHING
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`
  return value >= 100 ? `${Math.round(value)} ms` : `${value.toFixed(1)} ms`
}

export function us(value: number | undefined): string {
  return value === undefined || value === 0 ? NOTHING : `${value.toFixed(1)} µs`
}

export function ratio(value: number | undefined, base: number | undefined): string {
  if (value === undefined || base === undefined || base === 0 || value === 0) return NOTHING
  return (value / base).toFixed(2)
}

function number(value: number | undefined, unit = '', digits = 0): string {
  return value === undefined || Number.isNaN(value) ? NOTHING : `${value.toFixed(digits)}${unit}`
}

function overBare({ data }: Result, place: Place): string {
  return ratio(data?.tcp.byPlace[place].p50, data?.tcp.byPlace.bare.p50)
}

const SCENARIO: Column = ['scenario', ({ scenario }) => scenario]
const SUBJECT: Column = ['what', ({ subject }) => subject]

const CONTROL: readonly Column[] = [
  SCENARIO,
  SUBJECT,
  ['start', ({ start }) => ms(start?.startMs)],
  ['in sync → first needed', ({ start }) => ms(start?.inSyncMs && start.neededMs - start.inSyncMs)],
  ['CPU own', ({ start }) => ms(start?.cpu.own)],
  ['tools', ({ start }) => ms(start?.cpu.tools)],
  ['plain load', ({ plain }) => ms(plain?.loadMs)],
  ['CPU', ({ plain }) => ms(plain?.loadCpuMs)],
  ['change p50', ({ change }) => ms(change?.change.p50)],
  ['p99', ({ change }) => ms(change?.change.p99)],
  ['CPU/change own', ({ change }) => ms(change?.cpuPerChange.own)],
  ['tools', ({ change }) => ms(change?.cpuPerChange.tools)],
  ['plain change', ({ plain }) => ms(plain?.changeMs)],
  ['CPU', ({ plain }) => ms(plain?.changeCpuMs)],
  ['at rest', ({ rest }) => number(rest?.cpuPercent, ' %', 1)],
  ['memory', ({ rest }) => number(rest?.residentMb, ' MB')],
  ['peak', ({ rest }) => number(rest?.peakMb, ' MB')],
  ['API', ({ start }) => number(start && start.apiBytes / 1e6, ' MB', 1)],
  ['/livez max', ({ start }) => ms(start?.longestHealthMs === 0 ? undefined : start?.longestHealthMs)],
]

const DATA: readonly Column[] = [
  SCENARIO,
  SUBJECT,
  ['bare p50', ({ data }) => us(data?.tcp.byPlace.bare.p50)],
  ['direct ÷', (result) => overBare(result, 'direct')],
  ['first ÷', (result) => overBare(result, 'first')],
  ['middle ÷', (result) => overBare(result, 'middle')],
  ['last ÷', (result) => overBare(result, 'last')],
  ['last ÷ direct', ({ data }) => ratio(data?.tcp.byPlace.last.p50, data?.tcp.byPlace.direct.p50)],
  ['p99', ({ data }) => ratio(data?.tcp.byPlace.last.p99, data?.tcp.byPlace.direct.p99)],
  ['UDP ÷ direct', ({ data }) => ratio(data?.udp?.byPlace.last.p50, data?.udp?.byPlace.direct.p50)],
  ['spread p', ({ data }) => number(data?.spread?.probability, '', 2)],
  ['conn/s', ({ sustained }) => number(sustained?.connectionsPerSecond.service)],
  ['÷ direct', ({ sustained: s }) => ratio(s?.connectionsPerSecond.service, s?.connectionsPerSecond.direct)],
  ['Gbit/s', ({ sustained }) => number(sustained?.gigabits.service, '', 1)],
  ['÷ direct', ({ sustained }) => ratio(sustained?.gigabits.service, sustained?.gigabits.direct)],
  ['failed', ({ data }) => number(data && data.tcp.failed + (data.udp?.failed ?? 0))],
]

const TROUBLE: readonly Column[] = [
  SCENARIO,
  SUBJECT,
  ['follows p50', ({ trouble }) => ms(trouble?.follows.p50)],
  ['p99', ({ trouble }) => ms(trouble?.follows.p99)],
  ['failed', ({ trouble }) => number(trouble?.failed)],
  ['CPU/s own', ({ trouble }) => ms(trouble?.cpuPerSecond?.own)],
  ['tools', ({ trouble }) => ms(trouble?.cpuPerSecond?.tools)],
  ['memory', ({ trouble }) => number(trouble?.residentMb, ' MB')],
  ['peak', ({ trouble }) => number(trouble?.peakMb, ' MB')],
]

export function reportTables(report: Report): string {
  const { machine, results, notes } = report
  const failures = results.flatMap(({ scenario, subject, failure }) =>
    failure === undefined ? [] : [`${scenario} ${subject}: ${failure}`],
  )
  return [
    `${machine.processors} × ${machine.processor}, ${machine.memoryGb} GB, Linux ${machine.kernel}, load average ${machine.loadAverage}`,
    Object.entries(machine.versions)
      .map(([tool, version]) => `${tool}: ${version}`)
      .join(' · '),
    section(
      'Control plane',
      CONTROL,
      results.filter(({ start, plain, trouble }) => trouble === undefined && (start ?? plain)),
    ),
    section(
      'Data plane: new connections, p50 ÷ that of a node without any rule, all in one loop',
      DATA,
      results.filter(({ data }) => data),
    ),
    section(
      'Trouble',
      TROUBLE,
      results.filter(({ trouble }) => trouble),
    ),
    ...notes.map((note) => `· ${note}.`),
    ...failures.map((failure) => `! ${failure}`),
  ]
    .filter((part) => part !== '')
    .join('\n')
}

function section(title: string, columns: readonly Column[], results: readonly Result[]): string {
  if (results.length === 0) return ''
  const rows = [
    columns.map(([name]) => name),
    ...results.map((result) => columns.map(([, cell]) => cell(result))),
  ]
  return `\n${title}\n${aligned(rows)}`
}

/** The first two columns to the left, numbers to the right. */
function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const pad = (text: string, column: number): string =>
    column < 2 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0)
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n')
}
