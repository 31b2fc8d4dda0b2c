/** Documents that consist of a table in the source. `node scripts/write-tables.ts` writes them into docs/. Pure. */
import { metricsMarkdown } from './metrics-markdown.ts'
import { settingsMarkdown } from './settings-markdown.ts'

const SETTINGS_HEAD = `# Settings

Written by \`scripts/write-tables.ts\` from \`src/config/settings.ts\`; do not edit.

Flags are read as kube-proxy reads them: \`--flag value\`, \`--flag=value\`, \`_\` for \`-\`, booleans without a value, lists with commas or repeated flags.
The file given with \`--config\` is a \`KubeProxyConfiguration\` in YAML or JSON, \`kubeproxy.config.k8s.io/v1alpha1\` or \`v1alpha2\`; what only Fairlead has stands in its section \`fairlead\`.
With a file, all flags are ignored (and it is said which) except those marked with \\*. A changed file is applied without a restart where the column "a change counts" says so;
a file that cannot be used is refused, and the settings before it stay. All mistakes are told at once, one line each, and end the start with exit code 2.
`

const METRICS_HEAD = `# Metrics

Written by \`scripts/write-tables.ts\` from \`src/metrics/metric-table.ts\`; do not edit.

Served at \`/metrics\` of the metrics server (\`127.0.0.1:10249\`). Beside these there are the usual \`process_…\` metrics.
Not there: the \`go_…\` metrics of the Go runtime, \`informer_…\`, \`workqueue_…\` and \`leader_election_…\` of Kubernetes' Go libraries, \`rest_client_…\` metrics about their transports, and
\`kubeproxy_iptables_localhost_nodeports_accepted_packets_total\`, which needs a kernel module (nfacct) that our rules do without.
`

/** File name → complete text, not yet formatted. */
export const TABLES: readonly (readonly [string, () => string])[] = [
  ['settings.md', () => `${SETTINGS_HEAD}\n${settingsMarkdown().replaceAll(/^### /gm, '## ')}`],
  ['metrics.md', () => `${METRICS_HEAD}\n${metricsMarkdown()}`],
]
