import { escapeHtml, reportPage } from '../../../../src/lab/demo/report-page.ts'
import { demoResult } from '../../../../src/lab/demo/demo-result.ts'
import { Tally } from '../../../../src/lab/demo/tally.ts'
import { aReport, FACTS } from './reports.ts'

function aPage(pod: string): string {
  const tally = new Tally()
  tally.announce(pod, 1900)
  tally.add('pod', aReport({ atMs: 1000, answered: { [pod]: 3 } }))
  tally.add('pod', aReport({ atMs: 2000, answered: { [pod]: 4 }, failed: [[1990, 'timeout']] }))
  return reportPage(demoResult(tally, FACTS), tally, [{ atMs: 1500, text: 'kill' }])
}

/** The data that the page's own script draws. */
function dataOf(page: string): unknown {
  const [, json = ''] = /const data = (.*)\n/.exec(page) ?? []
  return JSON.parse(json)
}

describe('reportPage()', () => {
  const page = aPage('web-1')

  it('carries the run as data: seconds from the first report, answers by pod, failures, milestones', () => {
    expect(dataOf(page)).toEqual({
      pods: ['web-1'],
      perPod: [7],
      labels: [0, 0.75, 1],
      answered: [[3, 0, 4]],
      failed: [0, 1, 0],
      propagation: [100],
      milestones: [{ at: 0.5, text: 'kill' }],
    })
  })

  /** The page without what its scripts say: short enough to be shown when a case fails. */
  const markup = page.replaceAll(/(<script>)[^]*?(<\/script>)/g, '$1$2')

  it('is one file: the charting library is inside and nothing is fetched', () => {
    expect(page.includes('Chart.js v')).toBe(true)
    expect(markup).not.toMatch(/ (?:src|href)=/)
    expect(markup.match(/<script>/g)).toHaveLength(2)
  })

  it('has title and table, leaves no placeholder, and says in words what failed', () => {
    expect(markup).toContain('<h1>Fairlead demo: iptables on the bridge network</h1>')
    expect(markup).toMatch(/connections from a pod \(ClusterIP\) +8, failed 1/)
    expect(markup).toContain('Failed connections: 1 from a pod (ClusterIP).')
    expect(markup).not.toMatch(/__[A-Z_]+__/)
  })

  it('takes any name for text, never for markup', () => {
    const hostile = aPage('</script><b>$&')
    expect(hostile.match(/<\/script>/g)).toHaveLength(2)
    expect(dataOf(hostile)).toMatchObject({ pods: ['</script><b>$&'] })
  })
})

describe('escapeHtml()', () => {
  it('escapes what opens markup', () => {
    expect(escapeHtml('a < b && c > d')).toBe('a &lt; b &amp;&amp; c &gt; d')
  })
})
