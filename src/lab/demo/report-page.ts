/** One self-contained HTML page with the charts of a demo run. Chart.js is put into the page, so it opens anywhere. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { CLIENT_NAMES, type DemoResult, resultTable } from './demo-result.ts'
import type { Tally } from './tally.ts'

/** A moment to mark in the charts. */
export interface Milestone {
  readonly atMs: number
  readonly text: string
}

export function reportPage(result: DemoResult, tally: Tally, milestones: readonly Milestone[]): string {
  const startMs = tally.slots[0]?.fromMs ?? 0
  const pods = Object.keys(result.distribution)
  const seconds = (atMs: number): number => Math.round((atMs - startMs) / 10) / 100
  const data = {
    pods,
    perPod: pods.map((pod) => result.distribution[pod]),
    labels: tally.slots.map(({ fromMs }) => seconds(fromMs)),
    answered: pods.map((pod) => tally.slots.map(({ byPod }) => byPod.get(pod) ?? 0)),
    failed: tally.slots.map(({ failed }) => failed),
    propagation: tally.propagationMs(),
    milestones: milestones.map(({ atMs, text }) => ({ at: seconds(atMs), text })),
  }
  const title = escapeHtml(`Fairlead demo: ${result.mode} on the ${result.network} network`)
  return PAGE.replaceAll('__TITLE__', () => title)
    .replace('__TABLE__', () => escapeHtml(resultTable(result)))
    .replace('__FAILED__', () => escapeHtml(failureText(result)))
    .replace('__CHART_JS__', () => chartLibrary().replaceAll('</script', '<\\/script'))
    .replace('__DATA__', () => JSON.stringify(data).replaceAll('<', '\\u003c'))
}

/** The source of Chart.js (MIT) as one script; the package exports its modules only, so the file is taken beside them. */
export function chartLibrary(): string {
  const module = createRequire(import.meta.url).resolve('chart.js')
  return readFileSync(join(dirname(module), 'chart.umd.js'), 'utf8')
}

export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function failureText(result: DemoResult): string {
  const failed = Object.entries(result.connections).filter(([, { failed: count }]) => count > 0)
  if (failed.length === 0) return 'No connection failed while a pod was there to answer it.'
  const list = failed.map(
    ([client, counts]) => `${counts.failed} from ${CLIENT_NAMES[client as keyof typeof CLIENT_NAMES]}`,
  )
  return `Failed connections: ${list.join(', ')}. Between a crash and the moment the API knows of it, nobody can know better.`
}

const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>__TITLE__</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b2733 }
  pre { background: #f2f5f8; padding: 1rem; overflow-x: auto }
  .chart { margin: 2rem 0 }
  h1 { font-size: 1.4rem } h2 { font-size: 1.05rem }
</style>
<h1>__TITLE__</h1>
<pre>__TABLE__</pre>
<p>__FAILED__</p>
<div class="chart"><h2>Connections answered in each quarter of a second, by pod</h2><canvas id="time" height="120"></canvas></div>
<div class="chart"><h2>Connections answered by each pod</h2><canvas id="pods" height="90"></canvas></div>
<div class="chart"><h2>From the API's announcement of an endpoint to the first connection on it, milliseconds</h2><canvas id="propagation" height="80"></canvas></div>
<script>__CHART_JS__</script>
<script>
  const data = __DATA__
  const colour = (i) => 'hsl(' + (i * 47) % 360 + ' 60% 55%)'
  const marks = {
    id: 'marks',
    afterDraw(chart) {
      const { ctx, chartArea, scales } = chart
      ctx.save()
      ctx.strokeStyle = ctx.fillStyle = '#555'
      ctx.setLineDash([4, 4])
      ctx.font = '11px system-ui'
      data.milestones.forEach(({ at, text }, i) => {
        const x = scales.x.getPixelForValue(at)
        ctx.beginPath()
        ctx.moveTo(x, chartArea.top)
        ctx.lineTo(x, chartArea.bottom)
        ctx.stroke()
        ctx.fillText(text, x + 3, chartArea.top + 11 + (i % 4) * 13)
      })
      ctx.restore()
    },
  }
  const points = (values) => values.map((y, i) => ({ x: data.labels[i], y }))
  new Chart('time', {
    type: 'line',
    data: {
      datasets: [
        ...data.pods.map((pod, i) => ({
          label: pod, data: points(data.answered[i]), fill: true, stack: 'answered', pointRadius: 0, borderWidth: 1,
          backgroundColor: colour(i), borderColor: colour(i),
        })),
        { label: 'failed or refused', data: points(data.failed), type: 'bar', stack: 'failed', order: -1, backgroundColor: '#c00', barThickness: 3 },
      ],
    },
    options: {
      animation: false,
      scales: { x: { type: 'linear', title: { display: true, text: 'seconds' } }, y: { stacked: true } },
      plugins: { legend: { display: data.pods.length <= 12 } },
    },
    plugins: [marks],
  })
  new Chart('pods', {
    type: 'bar',
    data: { labels: data.pods, datasets: [{ data: data.perPod, backgroundColor: data.pods.map((_, i) => colour(i)) }] },
    options: { animation: false, indexAxis: 'y', plugins: { legend: { display: false } } },
  })
  new Chart('propagation', {
    type: 'bar',
    data: { labels: data.propagation.map((_, i) => i + 1), datasets: [{ data: data.propagation, backgroundColor: '#2b6cb0' }] },
    options: { animation: false, plugins: { legend: { display: false } } },
  })
</script>
</html>
`
