/** What can be told to monitoring is told: a metric that nobody fills is a promise that is not kept. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ProxyMetrics } from '../../../src/metrics/proxy-metrics.ts'

const SRC = resolve(import.meta.dirname, '../../../src')

/** All of the program except the metrics themselves and the lab. */
const program = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !/^(metrics|lab)\//.test(file))
  .map((file) => readFileSync(join(SRC, file), 'utf8'))
  .join('\n')

const methods = Object.getOwnPropertyNames(ProxyMetrics.prototype).filter((name) =>
  /^(record|set)/.test(name),
)

test('ProxyMetrics has methods to tell things by', () => {
  expect(methods.length).toBeGreaterThan(15)
})

test.each(methods)('ProxyMetrics.%s() is called by the program', (method) => {
  expect(program).toMatch(new RegExp(`\\b[mM]etrics\\??\\.${method}\\(`))
})
