import type { BackendName } from '../../../src/backends/backend.ts'
import {
  METRIC_ROWS,
  metricsOf,
  PROGRAMMING_BUCKETS,
  RUN_BUCKETS,
} from '../../../src/metrics/metric-table.ts'
import { ProxyMetrics, type ProxyMetricsOptions } from '../../../src/metrics/proxy-metrics.ts'

const MODES: readonly BackendName[] = ['iptables', 'ipvs', 'nftables']

function aProxyMetrics(
  mode: BackendName = 'iptables',
  options: Partial<ProxyMetricsOptions> = {},
): ProxyMetrics {
  return new ProxyMetrics({
    ...options,
    mode,
    build: { version: '1.2.3', platform: 'linux/x64', runtime: 'v24.0.0' },
    featureGates: { ComponentFlagz: true, NativeHistograms: false },
    stageOf: (gate) => (gate === 'ComponentFlagz' ? 'BETA' : 'ALPHA'),
  })
}

const SYNC = {
  family: 'IPv4',
  durationMs: 3,
  observed: false,
  atMs: 5000,
  created: 1,
  updated: 2,
  removed: 3,
} as const

/** Tells everything that can be told, so that every metric has a series. */
function tellAll(metrics: ProxyMetrics): void {
  metrics.recordQueued('IPv4', 4000)
  metrics.recordSync({ ...SYNC, scriptBytes: 100, queueToKernelMs: 7, programmingMs: [300, 100_000] })
  metrics.recordSync({ ...SYNC, observed: true, scriptBytes: 100 })
  metrics.recordSyncFailure({ family: 'IPv6', durationMs: 3, observed: false, code: 'rejected' })
  metrics.recordCleanupFailure('IPv4')
  metrics.recordDriftRepair('IPv4', 9)
  metrics.recordChanges({ services: 1, endpointSlices: 2 })
  metrics.setPending({ services: 3, endpointSlices: 4 })
  metrics.setNoLocalEndpoints('IPv4', { internal: 5, external: 6 })
  metrics.setIptablesRules('IPv4', 'nat', 70)
  metrics.setWrittenRules('IPv4', 'nat', 7)
  metrics.setPacketTotals({ invalidDropped: 8 })
  metrics.recordHealthAnswer('/healthz', 503)
  metrics.recordHealthAnswer('/livez', 200)
  metrics.recordConntrack('IPv4', { durationMs: 2, deleted: { UDP: 3, SCTP: 1 } })
  metrics.setConntrackFill(10, 100)
  metrics.recordApiRequest({ verb: 'list', host: 'a:1', code: '200', durationMs: 10 })
  metrics.recordApiRequest({ verb: 'create', host: 'a:1', code: 'error', durationMs: 10 })
  metrics.recordApiRetry({ verb: 'GET', host: 'a:1', code: '429' })
  metrics.recordApiBytes({ host: 'a:1', count: 1000 })
  metrics.setApiState('services', { inSync: true, lastContactMs: 6000 })
  metrics.setProgrammedFromDisk(true)
  metrics.setObjects('IPv4', { service_port: 2, chain: 9 })
  metrics.setRefused({ Service: 1 })
  metrics.setServiceConnections([{ namespace: 'ns', service: 'web', family: 'IPv4', count: 4 }])
  metrics.recordEvent('sent')
  metrics.recordConfigReload('refused')
  metrics.setHealthCheckPorts('IPv4', { open: 1, failed: 2 })
}

async function textOf(metrics: ProxyMetrics): Promise<string[]> {
  return (await metrics.text()).split('\n')
}

describe.each(MODES)('ProxyMetrics in mode %s', (mode) => {
  let lines: readonly string[] = []

  beforeAll(async () => {
    const metrics = aProxyMetrics(mode)
    tellAll(metrics)
    lines = await textOf(metrics)
  })

  test.each(METRIC_ROWS.map(([, row]) => [row.name, row] as const))(
    'exports %s with its labels and buckets, or not at all',
    (name, row) => {
      const wanted = row.modes === undefined || row.modes.includes(mode)
      expect(lines.includes(`# TYPE ${name} ${row.type}`)).toBe(wanted)
      if (!wanted) {
        expect(lines.filter((line) => line.startsWith(name))).toEqual([])
        return
      }
      const series = lines.filter((line) => new RegExp(`^${name}(_bucket|_sum|_count)?[{ ]`).test(line))
      expect(series.length).toBeGreaterThan(0)
      const names = [...series[0]!.matchAll(/[{,](\w+)="/g)].map((match) => match[1]!)
      const labels = [...(row.labels ?? []), ...(row.type === 'histogram' ? ['le'] : [])]
      expect([...names].sort()).toEqual([...labels].sort())
      if (row.type !== 'histogram') return
      const bounds = series
        .map((line) => /le="([^"]+)"/.exec(line)?.[1])
        .filter((bound) => bound !== undefined)
      expect([...new Set(bounds)]).toEqual([...row.buckets!.map(String), '+Inf'])
    },
  )
})

describe('ProxyMetrics', () => {
  test.each([
    'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} 2',
    'kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1',
    'kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1',
    'kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} 5',
    'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"} 4',
    'kubeproxy_network_programming_duration_seconds_bucket{le="0.5",ip_family="IPv4"} 1',
    'kubeproxy_network_programming_duration_seconds_sum{ip_family="IPv4"} 100.3',
    'kubeproxy_sync_proxy_rules_endpoint_changes_pending 4',
    'kubeproxy_sync_proxy_rules_endpoint_changes_total 2',
    'kubeproxy_sync_proxy_rules_service_changes_pending 3',
    'kubeproxy_sync_proxy_rules_service_changes_total 1',
    'kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="external",ip_family="IPv4"} 6',
    'kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family="IPv6"} 1',
    'kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total{ip_family="IPv6"} 1',
    'kubeproxy_sync_proxy_rules_iptables_total{table="nat",ip_family="IPv4"} 70',
    'kubeproxy_sync_proxy_rules_iptables_last{table="nat",ip_family="IPv4"} 7',
    'kubeproxy_iptables_ct_state_invalid_dropped_packets_total 8',
    'kubeproxy_proxy_healthz_total{code="503"} 1',
    'kubeproxy_proxy_livez_total{code="200"} 1',
    'kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family="IPv4"} 4',
    'fairlead_stale_flows_deleted_total{protocol="UDP",ip_family="IPv4"} 3',
    'fairlead_queue_to_kernel_seconds_bucket{le="0.01",ip_family="IPv4"} 1',
    'fairlead_kernel_changes_total{change="removed",ip_family="IPv4"} 6',
    'rest_client_requests_total{code="200",method="GET",host="a:1"} 1',
    'rest_client_requests_total{code="<error>",method="POST",host="a:1"} 1',
    'kubernetes_feature_enabled{name="ComponentFlagz",stage="BETA"} 1',
    'kubernetes_feature_enabled{name="NativeHistograms",stage="ALPHA"} 0',
    'kubeproxy_conntrack_reconciler_sync_duration_seconds_count{ip_family="IPv4"} 1',
    `registered_metrics_total{stability_level="ALPHA",deprecated_version=""} ${metricsOf('iptables').length}`,
    'hidden_metrics_total 0',
    'disabled_metrics_total 0',
    'rest_client_request_retries_total{verb="GET",host="a:1",code="429"} 1',
    'rest_client_request_duration_seconds_count{verb="GET",host="a:1"} 1',
    'fairlead_script_bytes_total{ip_family="IPv4"} 200',
    'fairlead_sync_failures_total{code="rejected",ip_family="IPv6"} 1',
    'fairlead_objects{kind="chain",ip_family="IPv4"} 9',
    'fairlead_refused_objects{kind="Service"} 1',
    'fairlead_drift_repairs_total{ip_family="IPv4"} 1',
    'fairlead_drift_repair_seconds_sum{ip_family="IPv4"} 0.009',
    'fairlead_api_in_sync{resource="services"} 1',
    'fairlead_api_last_contact_timestamp_seconds{resource="services"} 6',
    'fairlead_api_received_bytes_total{host="a:1"} 1000',
    'fairlead_programmed_from_disk 1',
    'fairlead_conntrack_entries 10',
    'fairlead_conntrack_limit 100',
    'fairlead_events_total{outcome="sent"} 1',
    'fairlead_config_reloads_total{outcome="refused"} 1',
    'fairlead_health_check_ports{state="failed",ip_family="IPv4"} 2',
  ])('counts %s', async (line) => {
    const metrics = aProxyMetrics()
    tellAll(metrics)
    expect(await textOf(metrics)).toContain(line)
  })

  test.each([
    'kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family="IPv6"} 1',
    'kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total{ip_family="IPv4"} 1',
  ])('counts %s in nftables mode', async (line) => {
    const metrics = aProxyMetrics('nftables')
    tellAll(metrics)
    expect(await textOf(metrics)).toContain(line)
  })

  test.each([
    [/^fairlead_memory_bytes\{kind="heap_used"\} (\d+)$/, 1e6, 1e10],
    [/^fairlead_event_loop_lag_seconds\{quantile="0.99"\} ([\d.]+)$/, 0, 60],
  ])('measures %s at the moment of a scrape', async (pattern, least, most) => {
    const stop = new AbortController()
    const metrics = aProxyMetrics()
    metrics.start(stop.signal)
    const [value] = (await textOf(metrics)).flatMap((line) => pattern.exec(line)?.[1] ?? [])
    stop.abort()
    expect(Number(value)).toBeGreaterThanOrEqual(least)
    expect(Number(value)).toBeLessThanOrEqual(most)
  })

  test('wakes the process ten times a second to see how late it is', async () => {
    const asked: unknown[] = []
    const histogram = {
      ...{ enable: () => true, disable: () => true, reset: () => undefined },
      ...{ percentile: () => 130e6, max: 350e6 },
    }
    const monitorLag = (options: unknown): never => {
      asked.push(options)
      return histogram as never
    }
    const lines = await textOf(aProxyMetrics('iptables', { monitorLag }))
    expect(asked).toEqual([{ resolution: 100 }])
    expect(lines).toContain('fairlead_event_loop_lag_seconds{quantile="0.99"} 0.03')
    expect(lines).toContain('fairlead_event_loop_lag_seconds{quantile="1"} 0.25')
  })

  test('has the bucket bounds of kube-proxy', () => {
    expect(RUN_BUCKETS).toEqual([
      0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192,
      16.384,
    ])
    expect(PROGRAMMING_BUCKETS).toHaveLength(80)
    expect(PROGRAMMING_BUCKETS.slice(0, 4)).toEqual([0.25, 0.5, 1, 2])
    expect(PROGRAMMING_BUCKETS.slice(-9)).toEqual([110, 115, 120, 150, 180, 210, 240, 270, 300])
  })

  test('leaves metrics out that this node cannot tell', async () => {
    const lines = await textOf(aProxyMetrics())
    expect(lines.filter((line) => /invalid_dropped|conntrack_entries/.test(line))).toEqual([])
  })

  test('follows totals that are counted elsewhere and begin anew', async () => {
    const metrics = aProxyMetrics()
    for (const invalidDropped of [5, 5, 8, 2]) metrics.setPacketTotals({ invalidDropped })
    expect(await textOf(metrics)).toContain('kubeproxy_iptables_ct_state_invalid_dropped_packets_total 10')
  })

  test('sums up the smallest Services, so that the number of series is bounded', async () => {
    const metrics = aProxyMetrics('ipvs')
    const services = Array.from({ length: 1500 }, (_, index) => {
      return { namespace: 'ns', service: `s${index}`, family: 'IPv4', count: index } as const
    })
    metrics.setServiceConnections(services)
    metrics.setServiceConnections(services)
    const lines = (await textOf(metrics)).filter((line) => line.startsWith('fairlead_service_connections{'))
    expect(lines).toHaveLength(1001)
    expect(lines.at(-1)).toBe(
      'fairlead_service_connections{namespace="",service="others",ip_family="IPv4"} 124750',
    )
  })

  test.each([
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    'process_start_time_seconds',
    'process_open_fds',
    'process_max_fds',
    'process_virtual_memory_bytes',
  ])('exports %s as every process does', async (name) => {
    expect((await textOf(aProxyMetrics())).some((line) => line.startsWith(`${name} `))).toBe(true)
  })

  test('names the program', async () => {
    const [line] = (await textOf(aProxyMetrics())).filter((text) => text.startsWith('kubernetes_build_info{'))
    expect(line).toMatch(/major="1",minor="2",git_version="v1\.2\.3".*platform="linux\/x64"} 1$/)
  })

  test('escapes what comes from the API', async () => {
    const metrics = aProxyMetrics('ipvs')
    metrics.setServiceConnections([{ namespace: 'a"b', service: 'c\nd\\', family: 'IPv6', count: 1 }])
    expect(await textOf(metrics)).toContain(
      'fairlead_service_connections{namespace="a\\"b",service="c\\nd\\\\",ip_family="IPv6"} 1',
    )
  })
})
