/** The list of all metrics for the documentation, from the table that registers them. Pure. */
import { METRIC_ROWS, type MetricRow } from '../metrics/metric-table.ts'

export function metricsMarkdown(): string {
  const head = '| metric | type | labels | modes | meaning |\n|---|---|---|---|---|'
  return `${head}\n${METRIC_ROWS.map(([, row]) => line(row)).join('\n')}\n`
}

function line({ name, type, labels, modes, help, lazy }: MetricRow): string {
  const where = (modes ?? ['all']).join(', ') + (lazy === true ? ', where known' : '')
  return `| \`${name}\` | ${type} | ${(labels ?? []).join(', ')} | ${where} | ${help} |`
}
