import { chartsOf, reportPage } from '../../../bench/report-page.ts'
import { ms, ratio, reportTables, us } from '../../../bench/report-table.ts'
import type { Report, Result } from '../../../bench/results.ts'

const latency = (p50: number) => ({ count: 1, p50, p90: p50, p99: p50, max: p50 })

function aResult(services: number, more: Partial<Result> = {}): Result {
  const byPlace = {
    bare: latency(20),
    direct: latency(24),
    first: latency(25),
    middle: latency(25),
    last: latency(30),
  }
  return {
    ...{ scenario: `${services}x5`, services, endpoints: 5, subject: 'fairlead nftables', kind: 'fairlead' },
    ...{ mode: 'nftables', loadAverage: 1 },
    data: { tcp: { byPlace, failed: 0 }, udp: undefined, spread: undefined },
    rest: { cpuPercent: 0.5, residentMb: 100, peakMb: 120 },
    ...more,
  }
}

function aReport(results: readonly Result[]): Report {
  return {
    machine: {
      ...{ processor: 'Some <CPU>', processors: 2, memoryGb: 8, kernel: '6.1' },
      ...{ versions: { nft: 'v1.0.6' }, loadAverage: 0.1 },
    },
    ...{ startedAt: '2026-01-02T03:04:05.000Z', tookSeconds: 1, quick: true, peers: [], results },
    notes: ['No peer was given'],
  }
}

test.each([
  { value: undefined, want: '–' },
  { value: 3.14159, want: '3.1 ms' },
  { value: 314.15, want: '314 ms' },
  { value: 12_345, want: '12.3 s' },
])('ms() writes $value as $want', ({ value, want }) => {
  expect(ms(value)).toBe(want)
})

test('ratio() and us() write a dash for what was not measured', () => {
  expect([ratio(30, 20), ratio(undefined, 20), ratio(1, 0), us(0), us(12.34)]).toEqual([
    '1.50',
    '–',
    '–',
    '–',
    '12.3 µs',
  ])
})

test('reportTables() shows the ratios to a node without rules, the notes and the failures', () => {
  const failed = aResult(5000, { failure: 'Cannot go on: no answer' })
  const text = reportTables(aReport([aResult(1000), failed]))
  expect(text).toMatch(/1000x5 +fairlead nftables +20\.0 µs +1\.20 +1\.25 +1\.25 +1\.50 +1\.25/)
  expect(text).toContain('· No peer was given.')
  expect(text).toContain('! 5000x5 fairlead nftables: Cannot go on: no answer')
})

test('chartsOf() draws sizes with five endpoints in order, and leaves out other scenarios', () => {
  const report = aReport([aResult(10_000), aResult(100), aResult(1000, { scenario: 'churn' })])
  const memory = chartsOf(report).find(({ unit }) => unit === 'MB')
  expect(memory?.series).toEqual([
    {
      label: 'fairlead nftables',
      dashed: false,
      points: [
        { x: 100, y: 100 },
        { x: 10_000, y: 100 },
      ],
    },
  ])
})

test('reportPage() is one page that needs nothing else and quotes what it shows', () => {
  const page = reportPage(aReport([aResult(1000)]))
  expect(page.includes('<canvas id="chart-0"')).toBe(true)
  expect(page.includes('Some &lt;CPU&gt;')).toBe(true)
  expect(/<script[^>]+src=|<link/.exec(page)?.[0]).toBeUndefined()
  expect(/__[A-Z_]+__/.exec(page)?.[0]).toBeUndefined()
})
