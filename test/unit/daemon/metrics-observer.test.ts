import { metricsObserver } from '../../../src/daemon/metrics-observer.ts'
import type { ProxyMetrics } from '../../../src/metrics/proxy-metrics.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import type { SyncReport } from '../../../src/sync/family-pipeline.ts'

test('metricsObserver() counts the rules that were written, by table', () => {
  const written: Record<string, number> = {}
  const metrics = {
    recordSync: () => undefined,
    setPending: () => undefined,
    setWrittenRules: (_family: string, table: string, count: number) => {
      written[table] = count
    },
  } as unknown as ProxyMetrics
  const stdin = `*mangle
-A OTHER -j RETURN
COMMIT
*nat
:FL-A - [0:0]
-A FL-A -m comment --comment "-A in a comment" -j FL-B
-I POSTROUTING 1 -j FL-C
-X FL-D
COMMIT
*filter
-D INPUT -j OLD
-A FL-E -j DROP
COMMIT
`
  const steps = [
    { file: 'iptables-restore', args: [], stdin, purpose: 'write rules' },
    { file: 'ipset', args: ['restore'], stdin: '-A nothing\n', purpose: 'fill sets' },
  ]
  metricsObserver(metrics, systemClock).onSynced?.({ family: 'IPv4', steps } as unknown as SyncReport)
  expect(written).toEqual({ nat: 2, filter: 1 })
})
