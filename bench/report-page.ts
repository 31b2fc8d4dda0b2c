/** One self-contained HTML page with the charts of a bench run. Chart.js is put into the page, so it opens anywhere. */
import { chartLibrary, escapeHtml } from '../src/lab/demo/report-page.ts'
import { reportTables } from './report-table.ts'
import type { Place } from './data-plane.ts'
import type { Report, Result } from './results.ts'

interface Series {
  readonly label: string
  readonly dashed: boolean
  /** x: Services. */
  readonly points: readonly { readonly x: number; readonly y: number }[]
}

interface Chart {
  readonly title: string
  readonly unit: string
  readonly logarithmic: boolean
  readonly series: readonly Series[]
}

type Measure = (result: Result) => number | undefined

/** Charts are drawn over the sizes with five endpoints each: only those differ in one thing alone. */
export function chartsOf({ results }: Report): Chart[] {
  const sizes = results.filter(
    ({ scenario, services, endpoints }) => endpoints === 5 && scenario === `${services}x5`,
  )
  const chart = (title: string, unit: string, measure: Measure, logarithmic = true): Chart => ({
    ...{ title, unit, logarithmic },
    series: seriesOf(sizes, measure),
  })
  return [
    chart(
      'From the start of the process until every Service answers',
      'ms',
      (r) => r.start?.startMs ?? layoutOnly(r)?.loadMs,
    ),
    chart(
      'From a change in the API to the first connection on the new endpoint, p50',
      'ms',
      (r) => r.change?.change.p50 ?? layoutOnly(r)?.changeMs,
    ),
    chart('The same, p99', 'ms', (r) => r.change?.change.p99),
    chart('New connection to the last Service ÷ through a node without any rule, p50', 'ratio', (r) =>
      overBare(r, 'last'),
    ),
    chart('New connection straight to a pod ÷ through a node without any rule, p50', 'ratio', (r) =>
      overBare(r, 'direct'),
    ),
    chart('Resident memory', 'MB', (r) => r.rest?.residentMb, false),
    chart(
      'CPU time of one change, tools included',
      'ms',
      (r) => r.change && r.change.cpuPerChange.own + r.change.cpuPerChange.tools,
    ),
    chart('CPU at rest', '% of one processor', (r) => r.rest?.cpuPercent, false),
  ].filter(({ series }) => series.length > 0)
}

function layoutOnly(result: Result): Result['plain'] {
  return result.kind === 'layout' ? result.plain : undefined
}

function overBare({ data }: Result, place: Place): number | undefined {
  return data && data.tcp.byPlace[place].p50 / data.tcp.byPlace.bare.p50
}

function seriesOf(results: readonly Result[], measure: Measure): Series[] {
  const bySubject = new Map<string, { dashed: boolean; points: { x: number; y: number }[] }>()
  for (const result of results) {
    const y = measure(result)
    if (y === undefined || !Number.isFinite(y) || result.trouble !== undefined) continue
    const label = result.kind === 'layout' ? `${result.subject} (rules only)` : result.subject
    const series = bySubject.get(label) ?? { dashed: result.kind !== 'fairlead', points: [] }
    bySubject.set(label, series)
    series.points.push({ x: result.services, y })
  }
  return [...bySubject].map(([label, { dashed, points }]) => ({
    label,
    dashed,
    points: points.sort((a, b) => a.x - b.x),
  }))
}

export function reportPage(report: Report): string {
  const title = `Fairlead bench, ${report.startedAt.slice(0, 10)}`
  const charts = chartsOf(report)
  const canvases = charts.map(
    ({ title: name }, i) =>
      `<div class="chart"><h2>${escapeHtml(name)}</h2><canvas id="chart-${i}" height="160"></canvas></div>`,
  )
  return PAGE.replaceAll('__TITLE__', () => escapeHtml(title))
    .replace('__TABLES__', () => escapeHtml(reportTables(report)))
    .replace('__CANVASES__', () => canvases.join('\n'))
    .replace('__CHART_JS__', () => chartLibrary().replaceAll('</script', '<\\/script'))
    .replace('__DATA__', () => JSON.stringify(charts).replaceAll('<', '\\u003c'))
}

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>__TITLE__</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; color: #1b2733 }
  pre { background: #f2f5f8; padding: 1rem; overflow-x: auto; font-size: 12px }
  .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(34rem, 1fr)); gap: 1.5rem }
  h1 { font-size: 1.4rem } h2 { font-size: 1.05rem }
</style>
<h1>__TITLE__</h1>
<p>Every figure was measured in one run on one machine; compare lines, not machines. Both axes are logarithmic unless the
figure is a ratio, a share or memory. Dashed: not Fairlead.</p>
<div class="charts">
__CANVASES__
</div>
<pre>__TABLES__</pre>
<script>__CHART_JS__</script>
<script>
  const charts = __DATA__
  const colour = (label) => {
    const colours = { 'iptables-legacy': '#b7791f', 'iptables-nft': '#2f855a', nftables: '#2b6cb0', ipvs: '#805ad5' }
    const mode = Object.keys(colours).find((name) => label.includes(name))
    return colours[mode] ?? '#555'
  }
  charts.forEach(({ unit, logarithmic, series }, i) => {
    new Chart('chart-' + i, {
      type: 'line',
      data: {
        datasets: series.map(({ label, dashed, points }) => ({
          label, data: points, borderColor: colour(label), backgroundColor: colour(label),
          borderDash: dashed ? [6, 4] : [], borderWidth: 2, pointRadius: 3,
        })),
      },
      options: {
        animation: false,
        scales: {
          x: { type: 'logarithmic', title: { display: true, text: 'Services × 5 endpoints' } },
          y: { type: logarithmic ? 'logarithmic' : 'linear', beginAtZero: true, title: { display: true, text: unit } },
        },
      },
    })
  })
</script>
</html>
`
