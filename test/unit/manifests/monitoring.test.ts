import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { METRIC_ROWS, type MetricRow } from '../../../src/metrics/metric-table.ts'
import { MANIFESTS } from './read-manifests.ts'

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly description: string }
}

interface Panel {
  readonly id: number
  readonly title: string
  readonly type: string
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

function read(file: string): string {
  return readFileSync(join(MANIFESTS, 'monitoring', file), 'utf8')
}

const rules = (
  parse(read('alerts.yaml')) as { groups: readonly { rules: readonly Rule[] }[] }
).groups.flatMap((group) => group.rules)
const panels = (JSON.parse(read('dashboard.json')) as { panels: readonly Panel[] }).panels
const expressions = [
  ...rules.map(({ alert, expr }) => [alert, expr, ''] as const),
  ...panels.flatMap(({ title, targets }) =>
    (targets ?? []).map(({ expr, legendFormat }) => [title, expr, legendFormat] as const),
  ),
]

/** Series name → its metric: a histogram is three series. Prometheus itself makes `up`. */
const series = new Map<string, MetricRow>([['up', { name: 'up', type: 'gauge', help: '' }]])
for (const [, row] of METRIC_ROWS)
  for (const suffix of row.type === 'histogram' ? ['_bucket', '_count', '_sum'] : [''])
    series.set(row.name + suffix, row)

/** Everything in an expression that is the name of a series. */
function seriesIn(expression: string): string[] {
  return expression.match(/\b(up|(?:kubeproxy|fairlead|rest_client|kubernetes)_\w+)\b/g) ?? []
}

/** Labels that a query names, in selectors, in `by (…)` and in what is shown. */
function labelsIn(expression: string, shown: string): string[] {
  const selectors = [...expression.matchAll(/(\w+)=~?"/g)].map((match) => match[1] ?? '')
  const groups = [...expression.matchAll(/\bby \(([^)]*)\)/g)].flatMap((match) =>
    (match[1] ?? '').split(', '),
  )
  const legend = [...shown.matchAll(/\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}/g)].map((match) => match[1] ?? '')
  return [...selectors, ...groups, ...legend]
}

/** Labels that exist on all series of the expression; Prometheus adds those of the target. */
function labelsOf(expression: string): Set<string> {
  const rows = seriesIn(expression).map((name) => series.get(name))
  return new Set(['instance', 'job', 'le', ...rows.flatMap((row) => row?.labels ?? [])])
}

describe('dashboard and alerts', () => {
  test('there is something to judge', () => {
    expect(rules.length).toBeGreaterThan(5)
    expect(expressions.length).toBeGreaterThan(rules.length + 10)
  })

  test.each(expressions)('%s asks for series that exist', (_, expression) => {
    const asked = seriesIn(expression)
    expect(asked).not.toEqual([])
    expect(asked.filter((name) => !series.has(name))).toEqual([])
  })

  test.each(expressions)('%s names labels that its series have', (_, expression, legend) => {
    const known = labelsOf(expression)
    expect(labelsIn(expression, legend).filter((label) => !known.has(label))).toEqual([])
  })

  test('seriesIn() and labelsIn() notice what does not exist', () => {
    const expression = 'sum by (colour) (rate(fairlead_wishes_total{shape="round"}[5m]))'
    expect(seriesIn(expression).filter((name) => !series.has(name))).toEqual(['fairlead_wishes_total'])
    expect(labelsIn(expression, '{{size}}')).toEqual(['shape', 'colour', 'size'])
  })
})

describe('alerts', () => {
  test.each(rules.map((rule) => [rule.alert, rule] as const))(
    '%s says what is wrong, where, and what to do',
    (name, { expr, labels, annotations: { summary, description } }) => {
      expect(name).toMatch(/^Fairlead[A-Z]/)
      expect(labels.severity).toMatch(/^(critical|warning|info)$/)
      expect(summary).toContain('$labels.instance')
      expect(description).not.toBe('')
      const shown = labelsIn('', `${summary} ${description}`)
      expect(shown.filter((label) => !labelsOf(expr).has(label))).toEqual([])
    },
  )
})

describe('dashboard', () => {
  test('every panel has its own number and the chosen nodes', () => {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
    const queries = panels.flatMap(({ targets }) => targets ?? []).map(({ expr }) => expr)
    expect(queries.filter((expr) => !expr.includes('{instance=~"$instance"}'))).toEqual([])
  })
})
