/**
 * Every metric that we export, as data: registration, documentation and tests follow from it.
 *
 * `kubeproxy_…`, `kubernetes_…` and `rest_client_…` are kube-proxy's, with its names, labels and buckets, so that
 * dashboards and alerts go on working; `fairlead_…` are ours. Metrics of other modes are absent, not zero.
 */
import type { BackendName } from '../backends/backend.ts'

export interface MetricRow {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly help: string
  readonly labels?: readonly string[]
  readonly buckets?: readonly number[]
  /** Modes that have it; without the field all. */
  readonly modes?: readonly BackendName[]
  /** Absent until a value is known, for what not every node can tell. */
  readonly lazy?: true
}

/** 0.001 · 2^k for k = 0…14, in seconds. */
export const RUN_BUCKETS: readonly number[] = Array.from({ length: 15 }, (_, k) => 0.001 * 2 ** k)

/** From a quarter of a second to five minutes: 80 bounds. */
export const PROGRAMMING_BUCKETS: readonly number[] = [
  0.25,
  0.5,
  ...steps(1, 59, 1),
  ...steps(60, 115, 5),
  ...steps(120, 300, 30),
]

const REQUEST_BUCKETS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60]
const KERNEL_BUCKETS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60]
const FAMILY = ['ip_family']

function steps(from: number, to: number, by: number): number[] {
  return Array.from({ length: (to - from) / by + 1 }, (_, index) => from + index * by)
}

const SYNC = {
  syncDuration: {
    name: 'kubeproxy_sync_proxy_rules_duration_seconds',
    type: 'histogram',
    help: 'Duration of a run that brings the kernel up to date.',
    labels: FAMILY,
    buckets: RUN_BUCKETS,
  },
  fullSyncDuration: {
    name: 'kubeproxy_sync_full_proxy_rules_duration_seconds',
    type: 'histogram',
    help: 'Duration of runs that began by reading the kernel.',
    labels: FAMILY,
    buckets: RUN_BUCKETS,
    modes: ['iptables', 'nftables'],
  },
  partialSyncDuration: {
    name: 'kubeproxy_sync_partial_proxy_rules_duration_seconds',
    type: 'histogram',
    help: 'Duration of runs that wrote a known difference.',
    labels: FAMILY,
    buckets: RUN_BUCKETS,
    modes: ['iptables', 'nftables'],
  },
  lastSync: {
    name: 'kubeproxy_sync_proxy_rules_last_timestamp_seconds',
    type: 'gauge',
    help: 'When the last run succeeded.',
    labels: FAMILY,
  },
  lastQueued: {
    name: 'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds',
    type: 'gauge',
    help: 'When the last run was asked for.',
    labels: FAMILY,
  },
  programmingDuration: {
    name: 'kubeproxy_network_programming_duration_seconds',
    type: 'histogram',
    help: 'Time from the change of a pod or Service, as the EndpointSlice says it, to the kernel.',
    labels: FAMILY,
    buckets: PROGRAMMING_BUCKETS,
  },
  endpointChangesPending: {
    name: 'kubeproxy_sync_proxy_rules_endpoint_changes_pending',
    type: 'gauge',
    help: 'Changes of EndpointSlices that wait for a run.',
  },
  endpointChanges: {
    name: 'kubeproxy_sync_proxy_rules_endpoint_changes_total',
    type: 'counter',
    help: 'Changes of EndpointSlices that were seen.',
  },
  serviceChangesPending: {
    name: 'kubeproxy_sync_proxy_rules_service_changes_pending',
    type: 'gauge',
    help: 'Changes of Services that wait for a run.',
  },
  serviceChanges: {
    name: 'kubeproxy_sync_proxy_rules_service_changes_total',
    type: 'counter',
    help: 'Changes of Services that were seen.',
  },
  noLocalEndpoints: {
    name: 'kubeproxy_sync_proxy_rules_no_local_endpoints_total',
    type: 'gauge',
    help: 'Service ports with a Local traffic policy and no endpoint on this node.',
    labels: ['traffic_policy', ...FAMILY],
  },
} as const satisfies Record<string, MetricRow>

const BY_MODE = {
  restoreFailures: {
    name: 'kubeproxy_sync_proxy_rules_iptables_restore_failures_total',
    type: 'counter',
    help: 'Runs that iptables-restore refused.',
    labels: FAMILY,
    modes: ['iptables', 'ipvs'],
  },
  partialRestoreFailures: {
    name: 'kubeproxy_sync_proxy_rules_iptables_partial_restore_failures_total',
    type: 'counter',
    help: 'Runs that wrote a known difference and were refused.',
    labels: FAMILY,
    modes: ['iptables'],
  },
  iptablesRules: {
    name: 'kubeproxy_sync_proxy_rules_iptables_total',
    type: 'gauge',
    help: 'Rules of ours, by table.',
    labels: ['table', ...FAMILY],
    modes: ['iptables'],
  },
  iptablesRulesLast: {
    name: 'kubeproxy_sync_proxy_rules_iptables_last',
    type: 'gauge',
    help: 'Rules that the last run wrote, by table.',
    labels: ['table', ...FAMILY],
    modes: ['iptables'],
  },
  invalidDropped: {
    name: 'kubeproxy_iptables_ct_state_invalid_dropped_packets_total',
    type: 'counter',
    help: 'Packets dropped because connection tracking calls them invalid.',
    modes: ['iptables'],
    lazy: true,
  },
  nftablesSyncFailures: {
    name: 'kubeproxy_sync_proxy_rules_nftables_sync_failures_total',
    type: 'counter',
    help: 'Runs that nft refused.',
    labels: FAMILY,
    modes: ['nftables'],
  },
  nftablesCleanupFailures: {
    name: 'kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total',
    type: 'counter',
    help: 'Removals of left-over objects that nft refused.',
    labels: FAMILY,
    modes: ['nftables'],
  },
} as const satisfies Record<string, MetricRow>

const HEALTH_AND_CONNTRACK = {
  healthz: {
    name: 'kubeproxy_proxy_healthz_total',
    type: 'counter',
    help: 'Answers of /healthz, by status.',
    labels: ['code'],
  },
  livez: {
    name: 'kubeproxy_proxy_livez_total',
    type: 'counter',
    help: 'Answers of /livez, by status.',
    labels: ['code'],
  },
  conntrackDuration: {
    name: 'kubeproxy_conntrack_reconciler_sync_duration_seconds',
    type: 'histogram',
    help: 'Duration of a look for stale flows.',
    labels: FAMILY,
    buckets: RUN_BUCKETS,
  },
  conntrackDeleted: {
    name: 'kubeproxy_conntrack_reconciler_deleted_entries_total',
    type: 'counter',
    help: 'Stale flows deleted from connection tracking.',
    labels: FAMILY,
  },
} as const satisfies Record<string, MetricRow>

const KUBERNETES = {
  buildInfo: {
    name: 'kubernetes_build_info',
    type: 'gauge',
    help: 'Version of this program; the value is 1.',
    labels: [
      'major',
      'minor',
      'git_version',
      'git_commit',
      'git_tree_state',
      'build_date',
      'go_version',
      'compiler',
      'platform',
    ],
  },
  featureEnabled: {
    name: 'kubernetes_feature_enabled',
    type: 'gauge',
    help: 'Feature gates: 1 enabled, 0 disabled.',
    labels: ['name', 'stage'],
  },
  registeredMetrics: {
    name: 'registered_metrics_total',
    type: 'counter',
    help: 'Metrics that are registered.',
    labels: ['stability_level', 'deprecated_version'],
  },
  hiddenMetrics: { name: 'hidden_metrics_total', type: 'counter', help: 'Metrics that are hidden.' },
  disabledMetrics: {
    name: 'disabled_metrics_total',
    type: 'counter',
    help: 'Metrics that are switched off.',
  },
  apiRequests: {
    name: 'rest_client_requests_total',
    type: 'counter',
    help: 'Requests to the API server.',
    labels: ['code', 'method', 'host'],
  },
  apiRequestRetries: {
    name: 'rest_client_request_retries_total',
    type: 'counter',
    help: 'Requests to the API server that were repeated.',
    labels: ['code', 'verb', 'host'],
  },
  apiRequestDuration: {
    name: 'rest_client_request_duration_seconds',
    type: 'histogram',
    help: 'Time until the API server answered.',
    labels: ['verb', 'host'],
    buckets: REQUEST_BUCKETS,
  },
} as const satisfies Record<string, MetricRow>

const OWN = {
  queueToKernel: {
    name: 'fairlead_queue_to_kernel_seconds',
    type: 'histogram',
    help: 'Time from the arrival of a change to the kernel having it.',
    labels: FAMILY,
    buckets: KERNEL_BUCKETS,
  },
  changes: {
    name: 'fairlead_kernel_changes_total',
    type: 'counter',
    help: 'Kernel objects created, updated and removed.',
    labels: ['change', ...FAMILY],
  },
  scriptBytes: {
    name: 'fairlead_script_bytes_total',
    type: 'counter',
    help: 'Bytes of input that tools were given.',
    labels: FAMILY,
  },
  failures: {
    name: 'fairlead_sync_failures_total',
    type: 'counter',
    help: 'Runs that failed, by reason.',
    labels: ['code', ...FAMILY],
  },
  objects: {
    name: 'fairlead_objects',
    type: 'gauge',
    help: 'What is known and programmed, by kind.',
    labels: ['kind', ...FAMILY],
  },
  refused: {
    name: 'fairlead_refused_objects',
    type: 'gauge',
    help: 'Objects that are left out because something in them is wrong or the kernel refuses it, by kind.',
    labels: ['kind'],
  },
  driftRepairs: {
    name: 'fairlead_drift_repairs_total',
    type: 'counter',
    help: 'Times that somebody else changed our objects and they were repaired.',
    labels: FAMILY,
  },
  driftRepairDuration: {
    name: 'fairlead_drift_repair_seconds',
    type: 'histogram',
    help: 'Time from noticing such a change to its repair.',
    labels: FAMILY,
    buckets: KERNEL_BUCKETS,
  },
  apiInSync: {
    name: 'fairlead_api_in_sync',
    type: 'gauge',
    help: '1 while the watch of a resource works, 0 while what is known may be out of date.',
    labels: ['resource'],
  },
  apiLastContact: {
    name: 'fairlead_api_last_contact_timestamp_seconds',
    type: 'gauge',
    help: 'When the API server was last heard of, by resource.',
    labels: ['resource'],
  },
  apiBytes: {
    name: 'fairlead_api_received_bytes_total',
    type: 'counter',
    help: 'Bytes received from the API server.',
    labels: ['host'],
  },
  programmedFromDisk: {
    name: 'fairlead_programmed_from_disk',
    type: 'gauge',
    help: '1 while the kernel holds a state that was read from disk and not yet confirmed by the API server.',
  },
  staleFlows: {
    name: 'fairlead_stale_flows_deleted_total',
    type: 'counter',
    help: 'Stale flows deleted from connection tracking, by protocol.',
    labels: ['protocol', ...FAMILY],
  },
  conntrackEntries: {
    name: 'fairlead_conntrack_entries',
    type: 'gauge',
    help: 'Connections that the kernel tracks.',
    lazy: true,
  },
  conntrackLimit: {
    name: 'fairlead_conntrack_limit',
    type: 'gauge',
    help: 'Connections that the kernel can track at most.',
    lazy: true,
  },
  serviceConnections: {
    name: 'fairlead_service_connections',
    type: 'gauge',
    help: 'Connections by Service, as IPVS counts them; the smallest are summed up as others.',
    labels: ['namespace', 'service', ...FAMILY],
    modes: ['ipvs'],
  },
  events: {
    name: 'fairlead_events_total',
    type: 'counter',
    help: 'Events for the API server: sent, failed, or left out because there were too many.',
    labels: ['outcome'],
  },
  configReloads: {
    name: 'fairlead_config_reloads_total',
    type: 'counter',
    help: 'Changes of the configuration file: applied or refused.',
    labels: ['outcome'],
  },
  healthCheckPorts: {
    name: 'fairlead_health_check_ports',
    type: 'gauge',
    help: 'Health-check ports of Services: open, or failed because they are taken.',
    labels: ['state', ...FAMILY],
  },
  eventLoopLag: {
    name: 'fairlead_event_loop_lag_seconds',
    type: 'gauge',
    help: 'How late this process was to turn to its work since the last scrape, looked at ten times a second.',
    labels: ['quantile'],
  },
  memory: {
    name: 'fairlead_memory_bytes',
    type: 'gauge',
    help: 'Memory of this process, by kind.',
    labels: ['kind'],
  },
} as const satisfies Record<string, MetricRow>

export const METRICS = { ...SYNC, ...BY_MODE, ...HEALTH_AND_CONNTRACK, ...KUBERNETES, ...OWN }
export type MetricKey = keyof typeof METRICS

export const METRIC_ROWS: readonly (readonly [MetricKey, MetricRow])[] = Object.entries(METRICS) as [
  MetricKey,
  MetricRow,
][]

/** The rows that exist in a mode. */
export function metricsOf(mode: BackendName): readonly (readonly [MetricKey, MetricRow])[] {
  return METRIC_ROWS.filter(([, row]) => row.modes === undefined || row.modes.includes(mode))
}
