import { setImmediate as nextTurn } from 'node:timers/promises'
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

function someMetrics(): ProxyMetrics {
  return new ProxyMetrics({
    mode: 'iptables',
    build: { version: '1.2.3', platform: 'linux/x64', runtime: 'v24.0.0' },
    featureGates: {},
    stageOf: () => '',
  })
}

async function writtenRules(metrics: ProxyMetrics): Promise<string[]> {
  const lines = (await metrics.text()).split('\n')
  return lines.filter((line) => line.startsWith('kubeproxy_sync_proxy_rules_iptables_last{')).toSorted()
}

const RULES_OF_REPORT = [
  'kubeproxy_sync_proxy_rules_iptables_last{table="filter",ip_family="IPv4"} 1',
  'kubeproxy_sync_proxy_rules_iptables_last{table="nat",ip_family="IPv4"} 2',
]

test('metricsObserver() counts the rules that were written, by table', async () => {
  const metrics = someMetrics()
  metricsObserver(metrics, systemClock).onSynced?.(REPORT)
  expect(await writtenRules(metrics)).toEqual(RULES_OF_REPORT)
})

test('metricsObserver() counts a large text in pieces, and tells nothing of it when there was another sync', async () => {
  const stdin = `*nat\n${'-A FL-A -j FL-B\n'.repeat(50_000)}COMMIT\n`
  const large = { ...REPORT, steps: [{ file: 'iptables-restore', args: [], stdin, purpose: 'write rules' }] }
  const metrics = someMetrics()
  const observer = metricsObserver(metrics, systemClock)
  observer.onSynced?.(large)
  expect(await writtenRules(metrics)).toEqual([])
  await nextTurns()
  expect(await writtenRules(metrics)).toContain(
    'kubeproxy_sync_proxy_rules_iptables_last{table="nat",ip_family="IPv4"} 50000',
  )
  observer.onSynced?.(large)
  observer.onSynced?.(REPORT)
  await nextTurns()
  expect(await writtenRules(metrics)).toEqual(RULES_OF_REPORT)
})

async function nextTurns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await nextTurn()
}
