import { metricsObserver } from '../../../src/daemon/metrics-observer.ts'
import { ProxyMetrics } from '../../../src/metrics/proxy-metrics.ts'
import { systemClock } from '../../../src/runtime/clock.ts'
import type { SyncReport } from '../../../src/sync/family-pipeline.ts'
import { aForwarding } from '../../support/forwarding-builder.ts'

const RULES = `*mangle
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

const REPORT: SyncReport = {
  family: 'IPv4',
  revision: 1,
  forwarding: aForwarding([]),
  steps: [
    { file: 'iptables-restore', args: [], stdin: RULES, purpose: 'write rules' },
    { file: 'ipset', args: ['restore'], stdin: '-A nothing\n', purpose: 'fill sets' },
  ],
  ...{ created: 5, updated: 0, removed: 2, scriptBytes: RULES.length, observed: false },
  ...{ totalMs: 3, repaired: undefined },
}

test('metricsObserver() counts the rules that were written, by table', async () => {
  const metrics = new ProxyMetrics({
    mode: 'iptables',
    build: { version: '1.2.3', platform: 'linux/x64', runtime: 'v24.0.0' },
    featureGates: {},
    stageOf: () => '',
  })
  metricsObserver(metrics, systemClock).onSynced?.(REPORT)
  const written = (await metrics.text())
    .split('\n')
    .filter((line) => line.startsWith('kubeproxy_sync_proxy_rules_iptables_last{'))
  expect(written.toSorted()).toEqual([
    'kubeproxy_sync_proxy_rules_iptables_last{table="filter",ip_family="IPv4"} 1',
    'kubeproxy_sync_proxy_rules_iptables_last{table="nat",ip_family="IPv4"} 2',
  ])
})
